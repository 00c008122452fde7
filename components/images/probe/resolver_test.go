package main

import (
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestResolver(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	overUDP := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(answer)}
	overTCP := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(answer)}
	go overUDP.ActivateAndServe()
	go overTCP.ActivateAndServe()
	defer overUDP.Shutdown()
	if got, err := run(askResolver, "--server "+address); err != nil || got != "udp: NXDOMAIN, 0 records\ntcp: NXDOMAIN, 0 records\n" {
		t.Errorf("%q, %v", got, err)
	}
	overTCP.Shutdown()
	if _, err := run(askResolver, "--server "+address); err == nil || !strings.Contains(err.Error(), "over tcp: ") {
		t.Errorf("without TCP the error is %v", err)
	}
}
