package resolver

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func TestServers(t *testing.T) {
	for name, test := range map[string]struct {
		conf string
		want []string
	}{
		"systemd's stub": {"# managed\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch home\n", []string{"127.0.0.53"}},
		"both families":  {"nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\n", []string{"192.0.2.1", "2001:db8::1", "fe80::1%eth0"}},
		"too many":       {"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n", []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		"nonsense":       {"nameserver\nnameserver dns.example\nnameserver $(reboot)\n", nil},
		"none":           {"", nil},
	} {
		var got []string
		for _, server := range Servers([]byte(test.conf)) {
			got = append(got, server.String())
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if got := Servers([]byte("nameserver ::ffff:192.0.2.1\n")); len(got) != 1 || got[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("a mapped address: %v", got)
	}
}

func TestAsk(t *testing.T) {
	for name, test := range map[string]struct {
		code    int
		records int
		want    string
		wrong   string
	}{
		"answers":        {dns.RcodeSuccess, 2, "NOERROR, 2 records", ""},
		"knows no root":  {dns.RcodeNameError, 0, "NXDOMAIN, 0 records", ""},
		"has no way out": {dns.RcodeServerFailure, 0, "", "answered SERVFAIL"},
		"refuses":        {dns.RcodeRefused, 0, "", "answered REFUSED"},
	} {
		for _, network := range []string{"udp", "tcp"} {
			address := serve(t, network, func(w dns.ResponseWriter, question *dns.Msg) {
				reply := new(dns.Msg).SetRcode(question, test.code)
				for range test.records {
					reply.Answer = append(reply.Answer, &dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET}, Ns: "a.example."})
				}
				if network == "udp" {
					stray := reply.Copy()
					stray.Id++
					w.WriteMsg(stray)
				}
				w.WriteMsg(reply)
			})
			conn, err := net.Dial(network, address)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Ask(t.Context(), conn)
			if wrong := message(err); got != test.want || wrong != test.wrong {
				t.Errorf("%s over %s: %q, %q", name, network, got, wrong)
			}
		}
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	near, far := net.Pipe() // takes the question and says nothing
	defer far.Close()
	go far.Read(make([]byte, 512))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Ask(ctx, near); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("the error is %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func serve(t *testing.T, network string, answer dns.HandlerFunc) string {
	t.Helper()
	server := &dns.Server{Handler: answer}
	var address string
	if network == "udp" {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.PacketConn, address = conn, conn.LocalAddr().String()
	} else {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server.Listener, address = listener, listener.Addr().String()
	}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	return address
}
