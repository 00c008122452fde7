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
	if err := serveOutside(ctx, outsideAddresses()); err != nil {
		fmt.Fprintln(os.Stderr, "outside:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// outsideAddresses are those of the outside host's that this namespace has.
func outsideAddresses() (list []netip.Addr) {
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && (p.Addr() == outsideAddr || p.Addr() == outsideAddr6) {
			list = append(list, p.Addr())
		}
	}
	return list
}

// serveOutside answers HTTP on port 80 and DNS on port 53 of addresses. It sends
// nothing of its own, and its namespace has no way out.
func serveOutside(ctx context.Context, addresses []netip.Addr) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{Handler: http.HandlerFunc(hello), ReadHeaderTimeout: 10 * time.Second}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) { w.WriteMsg(answer(query, addresses...)) })
	var servers []*dns.Server
	failed := make(chan error, 3*len(addresses))
	for _, addr := range addresses {
		listener, err := net.Listen("tcp", netip.AddrPortFrom(addr, 80).String())
		if err != nil {
			return errors.Join(err, web.Close())
		}
		go func() { failed <- web.Serve(listener) }()
		names := netip.AddrPortFrom(addr, 53).String()
		servers = append(servers, &dns.Server{Addr: names, Net: "udp", Handler: handler}, &dns.Server{Addr: names, Net: "tcp", Handler: handler})
	}
	for _, server := range servers {
		go func() { failed <- server.ListenAndServe() }()
	}
	var err error
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

// answer knows the outside host's own addresses, and nobody else's.
func answer(query *dns.Msg, addresses ...netip.Addr) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.Authoritative = true
	for _, question := range query.Question {
		name := strings.ToLower(question.Name)
		if name != OutsideName+"." && !strings.HasSuffix(name, "."+OutsideName+".") {
			reply.Rcode = dns.RcodeNameError
			continue
		}
		for _, addr := range addresses {
			head := dns.RR_Header{Name: question.Name, Rrtype: question.Qtype, Class: dns.ClassINET, Ttl: 5}
			switch {
			case question.Qtype == dns.TypeA && addr.Is4():
				reply.Answer = append(reply.Answer, &dns.A{Hdr: head, A: addr.AsSlice()})
			case question.Qtype == dns.TypeAAAA && addr.Is6():
				reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: head, AAAA: addr.AsSlice()})
			}
		}
	}
	return reply
}
