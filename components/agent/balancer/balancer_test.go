package balancer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"provision/components/balancer"
)

// apiServer is an API server as a balancer sees it: it terminates TLS, and
// answers /readyz as it is told to. It answers /name with its own, and /held when it is
// let to.
type apiServer struct {
	*httptest.Server
	status atomic.Int32 // of /readyz; 0: never answers
	held   chan struct{}
}

func startServer(t *testing.T, name, address string) *apiServer {
	t.Helper()
	s := &apiServer{held: make(chan struct{})}
	s.status.Store(http.StatusOK)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/held" {
			select {
			case <-s.held:
			case <-r.Context().Done():
			}
		}
		if r.URL.Path != "/readyz" {
			fmt.Fprintln(w, name)
			return
		}
		status := s.status.Load()
		if status == 0 {
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
			panic(http.ErrAbortHandler) // returning would be an answer
		}
		w.WriteHeader(int(status))
	}))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	if address != "" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s.Listener.Close()
		s.Listener = listener
	}
	s.StartTLS()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func (s *apiServer) addrPort() netip.AddrPort {
	return s.Listener.Addr().(*net.TCPAddr).AddrPort()
}

// bench is a running balancer.
type bench struct {
	t       *testing.T
	daemon  *daemon
	path    string
	config  balancer.Config
	address string
	log     *syncBuffer
	stop    func() error
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).AddrPort()
}

func start(t *testing.T, servers ...*apiServer) *bench {
	t.Helper()
	return startParking(t, 3*time.Second, servers...)
}

func startParking(t *testing.T, parkFor time.Duration, servers ...*apiServer) *bench {
	t.Helper()
	dir := t.TempDir()
	b := &bench{t: t, path: filepath.Join(dir, "balancer.json"), log: &syncBuffer{}}
	b.config = balancer.Config{
		Listen: []netip.AddrPort{freePort(t)},
		CA:     filepath.Join(dir, "ca.crt"),
		Health: balancer.Health{Interval: balancer.Duration(20 * time.Millisecond), Timeout: balancer.Duration(250 * time.Millisecond)},
	}
	b.address = b.config.Listen[0].String()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: servers[0].Certificate().Raw})
	if err := os.WriteFile(b.config.CA, ca, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		b.config.Servers = append(b.config.Servers, s.addrPort())
	}
	b.write()
	b.daemon = newDaemon(b.path, slog.New(slog.NewTextHandler(b.log, nil)))
	b.daemon.every = 20 * time.Millisecond
	b.daemon.proxy.parkFor = parkFor
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.daemon.run(ctx, func() { close(ready) }) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(b.log)
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	case <-time.After(5 * time.Second):
		t.Fatal("not ready")
	}
	return b
}

func (b *bench) write() {
	b.t.Helper()
	text, err := balancer.Encode(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.path+".new", text, 0o644); err != nil {
		b.t.Fatal(err)
	}
	if err := os.Rename(b.path+".new", b.path); err != nil {
		b.t.Fatal(err)
	}
}

// client is one connection through the balancer, kept open between requests.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func (b *bench) dial(s *apiServer) (*client, error) {
	conn, err := net.DialTimeout("tcp", b.address, time.Second)
	if err != nil {
		return nil, err
	}
	b.t.Cleanup(func() { conn.Close() })
	secure := tlsClient(conn, s)
	secure.SetDeadline(time.Now().Add(10 * time.Second))
	if err := secure.Handshake(); err != nil {
		return nil, err
	}
	return &client{secure, bufio.NewReader(secure)}, nil
}

// ask returns the name of the server at the other end.
func (c *client) ask() (string, error) {
	if _, err := io.WriteString(c.conn, "GET /name HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return strings.TrimSpace(string(body)), err
}

func (b *bench) open(s *apiServer) (*client, string) {
	b.t.Helper()
	c, err := b.dial(s)
	if err != nil {
		b.t.Fatal(err)
	}
	name, err := c.ask()
	if err != nil {
		b.t.Fatal(err)
	}
	return c, name
}

// openBoth opens a connection to each of two servers, which are told by their names.
func (b *bench) openBoth(either *apiServer) map[string]*client {
	b.t.Helper()
	on := map[string]*client{}
	for range 2 {
		client, name := b.open(either)
		on[name] = client
	}
	return on
}

// ends waits until the connection is closed from the other side, and says how
// long that took.
func (c *client) ends(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	_, err := c.in.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) || err == nil {
		t.Fatalf("the connection stays: %v", err)
	}
	return time.Since(began)
}

func (b *bench) eventually(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if is() {
			return
		}
	}
	b.t.Fatalf("not in time: %s", what)
}

func (b *bench) ready(n int) {
	b.t.Helper()
	b.eventually(fmt.Sprint(n, " servers ready"), func() bool {
		b.daemon.proxy.pool.mu.Lock()
		defer b.daemon.proxy.pool.mu.Unlock()
		got := 0
		for _, s := range b.daemon.proxy.pool.servers {
			if s.ready {
				got++
			}
		}
		return got == n
	})
}
