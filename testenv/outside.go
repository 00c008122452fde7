package testenv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// OutsideName is the one name that the outside host's DNS knows, with every name below it.
const OutsideName = "outside.test"

// outsideArg is the first argument of a program that Up starts again as the outside host.
const outsideArg = "outside-host"

var initialised bool

// Init must be the first call of a program that calls Up or Start. The outside host is
// a process of its own, and the program at hand is what there is to run; in it
// Init does not return.
func Init() {
	initialised = true
	if len(os.Args) != 2 || os.Args[1] != outsideArg {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := serveOutside(ctx, outsideAddr); err != nil {
		fmt.Fprintln(os.Stderr, "outside:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveOutside answers HTTP on port 80 and DNS on port 53 of an address. It sends
// nothing of its own, and its namespace has no way out.
func serveOutside(ctx context.Context, addr netip.Addr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, 80).String())
	if err != nil {
		return err
	}
	web := &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 10 * time.Second}
	names := netip.AddrPortFrom(addr, 53).String()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { w.WriteMsg(answer(query, addr)) })
	servers := []*dns.Server{{Addr: names, Net: "udp", Handler: handler}, {Addr: names, Net: "tcp", Handler: handler}}

	failed := make(chan error, 3)
	go func() { failed <- web.Serve(listener) }()
	for _, server := range servers {
		go func() { failed <- server.ListenAndServe() }()
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	for _, server := range servers {
		server.Shutdown()
	}
	return errors.Join(err, web.Close())
}

// hello tells a client how it is seen from outside.
func hello(w http.ResponseWriter, r *http.Request) {
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	fmt.Fprintf(w, "outside\n%s\n", client)
}

func answer(query *dns.Msg, addr netip.Addr) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	for _, question := range query.Question {
		name := strings.ToLower(question.Name)
		switch {
		case name != OutsideName+"." && !strings.HasSuffix(name, "."+OutsideName+"."):
			reply.Rcode = dns.RcodeNameError
		case question.Qtype == dns.TypeA:
			reply.Answer = append(reply.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A:   net.IP(addr.AsSlice()),
			})
		}
	}
	return reply
}
