package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestServe(t *testing.T) {
	t.Setenv("POD_NAME", "probe-1")
	t.Setenv("NODE_NAME", "w1")
	var draining atomic.Bool
	server := httptest.NewServer(handler(&draining))
	defer server.Close()
	for args, want := range map[string]string{
		server.URL:                                    `{"pod":"probe-1","node":"w1","client":"127.0.0.1"}` + "\n",
		server.URL + "/healthz --count 2":             "ok\nok\n",
		"--size " + server.URL + "/echo-size?bytes=0": "0\n",
		"--size " + server.URL + "/echo-size?bytes=1000000 --timeout 10s": "1000000\n",
	} {
		if got, err := run(get, args); err != nil || got != want {
			t.Errorf("get %s: %q, %v; want %q", args, got, err, want)
		}
	}
	for _, path := range []string{"/echo-size", "/echo-size?bytes=-1", "/echo-size?bytes=9999999999", "/none"} {
		if _, err := run(get, server.URL+path); err == nil || !strings.Contains(err.Error(), "1 of 1 requests went wrong, the last: status 4") {
			t.Errorf("get %s: %v", path, err)
		}
	}
	draining.Store(true)
	if _, err := run(get, server.URL+"/healthz"); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("while it drains: %v", err)
	}
	if _, err := run(get, server.URL); err != nil {
		t.Errorf("requests are still served while it drains: %v", err)
	}
}

func TestGetGivesUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = run(get, fmt.Sprintf("http://%s/ --timeout 50ms --count 2", listener.Addr()))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "2 of 2 requests") {
		t.Errorf("the error is %v", err)
	}
}

func TestDNS(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answer)}
	go server.ActivateAndServe()
	defer server.Shutdown()
	address := conn.LocalAddr().String()
	if got, err := run(lookUp, "web.default.svc.cluster.local. --server "+address); err != nil || got != "10.96.0.7\n" {
		t.Errorf("%q, %v", got, err)
	}
	var missing *net.DNSError
	if _, err := run(lookUp, "none.example. --server "+address); !errors.As(err, &missing) || !missing.IsNotFound {
		t.Errorf("the error is %v", err)
	}
}

func answer(w dns.ResponseWriter, question *dns.Msg) {
	reply := new(dns.Msg)
	reply.SetReply(question)
	switch q := question.Question[0]; {
	case q.Name != "web.default.svc.cluster.local.":
		reply.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		record, _ := dns.NewRR(q.Name + " 30 IN A 10.96.0.7")
		reply.Answer = append(reply.Answer, record)
	}
	w.WriteMsg(reply)
}

func TestUDPEcho(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- echo(ctx, conn) }()
	got, err := run(udpEcho, "--to "+conn.LocalAddr().String()+" --bytes 1400")
	if err != nil || !strings.HasPrefix(got, "1400 bytes in ") {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	conn.Close()
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
	if _, err := run(udpEcho, "--timeout 100ms --to "+conn.LocalAddr().String()); err == nil {
		t.Error("no error where nobody answers")
	}
}

func TestExchange(t *testing.T) {
	var draining atomic.Bool
	server := httptest.NewServer(handler(&draining))
	defer server.Close()
	address := server.Listener.Addr().String()
	const marker = "--marker tell-me-again "
	if _, err := run(exchange, marker+"--timeout 300ms --to "+address); err == nil || !strings.Contains(err.Error(), address+": udp: 0 of 4 datagrams came back") {
		t.Errorf("without UDP: %v", err)
	}
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var seen atomic.Int64
	go func() {
		buffer := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if strings.HasPrefix(string(buffer[:n]), "tell-me-againtell-me-again") && seen.Add(1) != 2 { // one is lost
				conn.WriteTo(buffer[:n], from)
			}
		}
	}()
	if got, err := run(exchange, marker+"--to "+address+","+address); err != nil || got != "2 servers\n" {
		t.Errorf("%q, %v", got, err)
	}
	if n := seen.Load(); n < 2*datagrams+1 {
		t.Errorf("%d datagrams were sent, one of them was lost", n)
	}
	for _, args := range []string{"--to " + address, marker, "--marker short --to " + address} {
		if _, err := run(exchange, args); !errors.Is(err, errUsage) {
			t.Errorf("exchange %s: %v is not misuse", args, err)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "note")
	if _, err := run(write, name+" hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := run(cat, name); err != nil || got != "hello\n" {
		t.Errorf("cat: %q, %v", got, err)
	}
	if got, err := run(ls, dir); err != nil || got != "-rw-r--r-- 6 note\n" {
		t.Errorf("ls: %q, %v", got, err)
	}
	if _, err := run(cat, filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("cat of nothing: %v", err)
	}
	t.Setenv("PROBE_TEST", "yes")
	if got, err := run(env, ""); err != nil || !strings.Contains(got, "PROBE_TEST=yes\n") {
		t.Errorf("env: %q, %v", got, err)
	}
	if _, err := run(sleep, "--for 1ms"); err != nil {
		t.Error(err)
	}
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	for _, args := range []string{"--n 3 a b", "a --n 3 b", "a b --n=3"} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		n := flags.Int("n", 0, "")
		rest, err := parse(flags, strings.Fields(args), 2)
		if diff := cmp.Diff([]string{"a", "b"}, rest); err != nil || *n != 3 || diff != "" {
			t.Errorf("%s: %d, %v %s", args, *n, err, diff)
		}
	}
	for _, args := range []string{"", "a b", "--none a"} {
		if _, err := run(get, args); !errors.Is(err, errUsage) {
			t.Errorf("get %s: %v is not misuse", args, err)
		}
	}
}

func run(c command, args string) (string, error) {
	var out strings.Builder
	err := c(strings.Fields(args), &out)
	return out.String(), err
}
