// Package resolver asks a DNS server the one thing that every server can be
// asked, and that gives nobody's name away: the root's name servers. The probe
// asks so from a pod, provisioner/verify from a machine. Looking names up is
// left to the standard library.
package resolver

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// maxServers is how many servers of a resolv.conf count, as in the C library.
const maxServers = 3

// Servers are the name servers of a resolv.conf, in its order. What is no
// address is left out.
func Servers(conf []byte) []netip.Addr {
	parsed, err := dns.ClientConfigFromReader(bytes.NewReader(conf))
	if err != nil {
		return nil
	}
	var servers []netip.Addr
	for _, text := range parsed.Servers {
		if server, err := netip.ParseAddr(text); err == nil && len(servers) < maxServers {
			servers = append(servers, server.Unmap())
		}
	}
	return servers
}

// Ask sends the question over a connection to a server, a datagram's or a
// stream's, and closes it. It returns the answer in a few words. The server's
// refusal, or its own failure to find out, is an error.
func Ask(ctx context.Context, conn net.Conn) (string, error) {
	defer conn.Close()
	// Not every connection knows deadlines: one through SSH does not.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	question := new(dns.Msg).SetQuestion(".", dns.TypeNS)
	answer, err := exchange(&dns.Conn{Conn: conn}, question)
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("no answer: %w", ctx.Err())
	case err != nil:
		return "", err
	case answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError:
		return "", fmt.Errorf("answered %s", dns.RcodeToString[answer.Rcode])
	}
	return fmt.Sprintf("%s, %d records", dns.RcodeToString[answer.Rcode], len(answer.Answer)), nil
}

// exchange waits for the answer to the question: to a datagram's port anybody
// may send.
func exchange(conn *dns.Conn, question *dns.Msg) (*dns.Msg, error) {
	if err := conn.WriteMsg(question); err != nil {
		return nil, err
	}
	for {
		answer, err := conn.ReadMsg()
		if err != nil {
			return nil, err
		}
		if answer.Id == question.Id && answer.Response {
			return answer, nil
		}
	}
}
