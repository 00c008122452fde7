package balancer

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"provision/components/balancer"
)

func tlsClient(conn net.Conn, s *apiServer) *tls.Conn {
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "127.0.0.1"
	return tls.Client(conn, config)
}

func TestConnectionsAreSpread(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	seen := map[string]int{}
	for range 6 {
		_, name := b.open(a)
		seen[name]++
	}
	if seen["a"] != 3 || seen["c"] != 3 {
		t.Errorf("spread %v", seen)
	}
}

func TestASilentServerLosesItsConnections(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	on := b.openBoth(a)
	a.status.Store(0)
	if took := on["a"].ends(t); took > 3*time.Second {
		t.Errorf("closed after %v", took)
	}
	if name, err := on["c"].ask(); err != nil || name != "c" {
		t.Errorf("the other server's connection: %q, %v", name, err)
	}
	for range 3 {
		if _, name := b.open(a); name != "c" {
			t.Errorf("a new connection went to %q", name)
		}
	}
	a.status.Store(http.StatusOK)
	b.ready(2)
	if _, name := b.open(a); name != "a" {
		t.Errorf("after recovery a new connection went to %q", name)
	}
}

func TestAServerThatIsNotReadyKeepsWhatItHas(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	on := b.openBoth(a)
	a.status.Store(http.StatusInternalServerError)
	b.ready(1)
	for range 3 {
		if _, name := b.open(a); name != "c" {
			t.Errorf("a new connection went to %q", name)
		}
	}
	if name, err := on["a"].ask(); err != nil || name != "a" {
		t.Errorf("its connection: %q, %v", name, err)
	}
}

func TestTheOnlyServersSilenceIsWaitedOut(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	client, _ := b.open(a)
	a.status.Store(0)
	b.ready(0)
	time.Sleep(50 * time.Millisecond)
	if name, err := client.ask(); err != nil || name != "a" {
		t.Errorf("its connection: %q, %v", name, err)
	}
}

// A lone master under load answers /readyz late, and all else still: whoever
// comes new is not parked for that.
func TestTheOnlyServerIsUsedWhileItIsSlow(t *testing.T) {
	a := startServer(t, "a", "")
	b := startParking(t, time.Hour, a)
	b.ready(1)
	a.status.Store(0)
	b.ready(0)
	for range 3 {
		if _, name := b.open(a); name != "a" {
			t.Errorf("connected to %q", name)
		}
	}
	if n := len(b.daemon.proxy.parking); n != 0 {
		t.Errorf("%d are parked", n)
	}
	a.status.Store(http.StatusOK)
	b.ready(1)
}

func TestASlowServerComesAfterAReadyOne(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a, c)
	b.ready(2)
	a.status.Store(0)
	b.ready(1)
	for range 3 {
		if _, name := b.open(a); name != "c" {
			t.Errorf("connected to %q", name)
		}
	}
}

func TestConnectionsAreParkedUntilAServerIsBack(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	client, _ := b.open(a)
	address := a.addrPort().String()
	a.CloseClientConnections()
	a.Close()
	client.ends(t)
	b.ready(0)
	type answer struct {
		name string
		err  error
	}
	answers := make(chan answer)
	for range 3 {
		go func() {
			client, err := b.dial(a)
			if err != nil {
				answers <- answer{err: err}
				return
			}
			name, err := client.ask()
			answers <- answer{name, err}
		}()
	}
	b.eventually("three parked", func() bool { return len(b.daemon.proxy.parking) == 3 })
	startServer(t, "again", address)
	for range 3 {
		if got := <-answers; got.err != nil || got.name != "again" {
			t.Errorf("a parked connection: %q, %v", got.name, got.err)
		}
	}
	b.eventually("none parked", func() bool { return len(b.daemon.proxy.parking) == 0 })
}

func TestParkingEnds(t *testing.T) {
	a := startServer(t, "a", "")
	a.status.Store(0)
	b := startParking(t, 300*time.Millisecond, a)
	began := time.Now()
	if _, err := b.dial(a); err == nil {
		t.Error("a connection to nobody")
	}
	if took := time.Since(began); took < 250*time.Millisecond || took > 2*time.Second {
		t.Errorf("parked for %v", took)
	}
}

func TestParkingIsBounded(t *testing.T) {
	a := startServer(t, "a", "")
	a.status.Store(0)
	b := startParking(t, time.Hour, a)
	for range maxParked {
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	b.eventually("all parked", func() bool { return len(b.daemon.proxy.parking) == maxParked })
	one, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	one.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := one.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one more: %v", err)
	}
	if err := b.stop(); err != nil {
		t.Error(err)
	}
}

func TestAServerThatAnswersIsBetterThanNone(t *testing.T) {
	a := startServer(t, "a", "")
	a.status.Store(http.StatusInternalServerError)
	b := startParking(t, 200*time.Millisecond, a)
	if _, name := b.open(a); name != "a" {
		t.Errorf("connected to %q", name)
	}
}

func TestAStrangerIsNoServer(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	if err := os.WriteFile(b.config.CA, []byte(strangersCA), 0o644); err != nil {
		t.Fatal(err)
	}
	b.ready(0)
	if !strings.Contains(b.log.String(), "unknown authority") {
		t.Error("the log does not say why")
	}
}

func TestTheFileIsFollowed(t *testing.T) {
	a, c := startServer(t, "a", ""), startServer(t, "c", "")
	b := start(t, a)
	b.ready(1)
	client, _ := b.open(a)

	good := b.config
	b.config.Servers = nil
	b.write()
	b.eventually("the mistake is logged", func() bool { return strings.Contains(b.log.String(), "servers: 0") })
	if name, err := client.ask(); err != nil || name != "a" {
		t.Errorf("after a mistake: %q, %v", name, err)
	}

	b.config = good
	b.config.Servers = []netip.AddrPort{c.addrPort()}
	second := freePort(t)
	b.config.Listen = []netip.AddrPort{second}
	b.write()
	client.ends(t)
	b.address = second.String()
	b.ready(1)
	if _, name := b.open(a); name != "c" {
		t.Errorf("connected to %q", name)
	}
	if answers(good.Listen[0]) {
		t.Error("it still listens where it no longer should")
	}
}

// answers says whether somebody listens there.
func answers(address netip.AddrPort) bool {
	conn, err := net.Dial("tcp", address.String())
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// Somebody else may listen at the floating address: everything else goes on, and
// it is taken when it is free. The machine need not have the address.
func TestTheFloatingAddressIsTakenWhereItIsFree(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := taken.Addr().(*net.TCPAddr).AddrPort()
	b.config.Floating = at
	b.write()
	b.eventually("it says who listens", func() bool { return strings.Contains(b.log.String(), "address already in use") })
	b.open(a)
	taken.Close()
	b.address = at.String()
	b.eventually("it answers there", func() bool { return answers(at) })
	b.open(a)

	b.config.Floating = netip.MustParseAddrPort("203.0.113.77:6443") // nobody's here
	b.write()
	b.eventually("it listens no more where it should not", func() bool { return !answers(at) })
	b.address = b.config.Listen[0].String()
	b.open(a)
}

// What else changes in the file is nothing to the floating address.
func TestTheFloatingAddressStays(t *testing.T) {
	d := newDaemon("", slog.New(slog.DiscardHandler))
	defer d.close()
	d.config = balancer.Config{Listen: []netip.AddrPort{freePort(t)}, Floating: freePort(t)}
	if err := errors.Join(d.listen(t.Context(), d.config), d.float(t.Context())); err != nil {
		t.Fatal(err)
	}
	before := d.listeners[d.config.Floating]
	d.config.Listen = []netip.AddrPort{freePort(t)}
	if err := d.listen(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	if before == nil || d.listeners[d.config.Floating] != before || len(d.listeners) != 2 {
		t.Errorf("listens at %v, and not where it did", d.listeners)
	}
}

func TestHalfAConnectionMayEndFirst(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		conn, err := echo.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		all, _ := io.ReadAll(conn) // until the client's half ends
		conn.Write(all)
	}()
	pool := b.daemon.proxy.pool
	pool.mu.Lock()
	pool.servers[0].address = echo.Addr().(*net.TCPAddr).AddrPort()
	pool.mu.Unlock()
	conn, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	sent := strings.Repeat("x", 1<<20)
	io.WriteString(conn, sent)
	conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != sent {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestStoppingEndsConnections(t *testing.T) {
	a := startServer(t, "a", "")
	b := start(t, a)
	b.ready(1)
	client, _ := b.open(a)
	began := time.Now()
	if err := b.stop(); err != nil || time.Since(began) > 2*time.Second {
		t.Errorf("stopped after %v: %v", time.Since(began), err)
	}
	client.ends(t)
}

func TestAListenersClientsTakeNothingFromAnothers(t *testing.T) {
	p := newProxy(newPool(slog.New(slog.DiscardHandler)))
	p.maxLinks = 1
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var addresses []string
	for range 2 {
		listener, err := listen(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		go p.serve(ctx, listener)
		addresses = append(addresses, listener.Addr().String())
	}
	// open says how a connection ends that nobody answers.
	open := func(address string) error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		return err
	}
	for _, one := range []struct {
		address string
		want    error
	}{{addresses[0], os.ErrDeadlineExceeded}, {addresses[0], io.EOF}, {addresses[1], os.ErrDeadlineExceeded}} {
		if err := open(one.address); !errors.Is(err, one.want) {
			t.Errorf("%s: %v, want %v", one.address, err, one.want)
		}
	}
}
