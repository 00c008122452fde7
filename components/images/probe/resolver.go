package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"provision/components/resolver"
)

// askResolver asks a DNS server for the root's name servers, over UDP and over
// TCP, and prints what it answered to each. The server is the first of
// /etc/resolv.conf unless --server names another.
func askResolver(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("resolver", flag.ContinueOnError)
	server := flags.String("server", "", "address of the DNS server, with or without port")
	timeout := flags.Duration("timeout", 2*time.Second, "for each of the two")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if *server == "" {
		conf, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			return err
		}
		servers := resolver.Servers(conf)
		if len(servers) == 0 {
			return fmt.Errorf("/etc/resolv.conf names no server")
		}
		*server = servers[0].String()
	}
	for _, network := range []string{"udp", "tcp"} {
		answer, err := askOver(network, withPort(*server, "53"), *timeout)
		if err != nil {
			return fmt.Errorf("%s over %s: %w", *server, network, err)
		}
		fmt.Fprintf(out, "%s: %s\n", network, answer)
	}
	return nil
}

func askOver(network, address string, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return "", err
	}
	return resolver.Ask(ctx, conn)
}
