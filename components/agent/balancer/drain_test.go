package balancer

import (
	"io"
	"net/http"
	"testing"
	"time"
)

// A server that stops listens no more, and answers what it was asked: nobody cuts that off.
func TestAServerThatStopsAnswersWhatItWasAsked(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	on := b.openBoth(a)
	if _, err := io.WriteString(on["a"].conn, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // the server has read it
	a.Listener.Close()
	a.Config.SetKeepAlivesEnabled(false) // which closes what nobody asks anything on
	b.ready(1)
	time.Sleep(3 * b.daemon.every)
	close(a.held)
	if response, err := http.ReadResponse(on["a"].in, nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("what was asked: %v, %v", response, err)
	}
	if _, name := b.open(c); name != "c" {
		t.Errorf("a new connection went to %q", name)
	}
}

// One that refuses and does not end its connections loses them in the end.
func TestAServerThatRefusesForLongLosesItsConnections(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	on := b.openBoth(a)
	if _, err := io.WriteString(on["a"].conn, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	a.Listener.Close()
	a.Config.SetKeepAlivesEnabled(false)
	if took := on["a"].ends(t); took < draining/2*b.daemon.every || took > 3*time.Second {
		t.Errorf("closed after %v", took)
	}
}
