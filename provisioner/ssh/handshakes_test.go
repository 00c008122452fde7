package ssh

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision/provisioner/ssh/sshtest"
)

// speaking is a server's end of a connection, on which the client's first word is
// counted and waits.
type speaking struct {
	net.Conn
	once sync.Once
	said func()
}

func (s *speaking) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.once.Do(s.said)
	}
	return n, err
}

// Of many logins only some go on at once, and all of them end well.
func TestHandshakesAreBounded(t *testing.T) {
	var begun atomic.Int32
	goOn := make(chan struct{})
	server := sshtest.Start(t, sshtest.Options{Accepted: func(conn net.Conn) net.Conn {
		return &speaking{Conn: conn, said: func() { begun.Add(1); <-goOn }}
	}})
	dialer := &Dialer{}
	var all sync.WaitGroup
	for range maxHandshakes + 10 {
		all.Go(func() {
			client, err := dialer.Dial(t.Context(), target(server))
			if err != nil {
				t.Error(err)
				return
			}
			client.Close()
		})
	}
	for end := time.Now().Add(10 * time.Second); begun.Load() < maxHandshakes; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d handshakes began", begun.Load())
		}
	}
	time.Sleep(100 * time.Millisecond)
	if n := begun.Load(); n != maxHandshakes {
		t.Errorf("%d handshakes at once", n)
	}
	close(goOn)
	all.Wait()
}
