package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"time"
)

// lookUp looks a name up and prints one address a line. The resolver is the one
// of /etc/resolv.conf unless --server names another.
func lookUp(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("dns", flag.ContinueOnError)
	server := flags.String("server", "", "address of the DNS server, with or without port")
	timeout := flags.Duration("timeout", 5*time.Second, "for the whole look-up")
	rest, err := parse(flags, args, 1)
	if err != nil {
		return err
	}
	resolver := &net.Resolver{PreferGo: true}
	if *server != "" {
		resolver.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, withPort(*server, "53"))
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	addresses, err := resolver.LookupHost(ctx, rest[0])
	if err != nil {
		return err
	}
	for _, address := range addresses {
		fmt.Fprintln(out, address)
	}
	return nil
}

func withPort(address, port string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(address, port)
}
