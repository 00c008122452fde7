package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// udpEcho answers every datagram with itself until SIGTERM; with --to it sends
// one instead and waits for it to come back.
func udpEcho(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("udp-echo", flag.ContinueOnError)
	port := flags.Int("port", 8080, "UDP port to answer on")
	to := flags.String("to", "", "address:port to send one datagram to")
	size := flags.Int("bytes", 32, "size of the datagram sent, at most 65000")
	timeout := flags.Duration("timeout", 2*time.Second, "how long to wait for the answer")
	if _, err := parse(flags, args, 0); err != nil {
		return err
	}
	if *to != "" {
		return udpSend(*to, min(max(*size, 1), 65000), *timeout, out)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	conn, err := net.ListenPacket("udp", net.JoinHostPort("", strconv.Itoa(*port)))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { conn.Close() })
	fmt.Fprintf(out, "answering on %s\n", conn.LocalAddr())
	return echo(ctx, conn)
}

func echo(ctx context.Context, conn net.PacketConn) error {
	buffer := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		// An answer that cannot be sent is the asker's loss, not the server's end.
		_, _ = conn.WriteTo(buffer[:n], from)
	}
}

func udpSend(to string, size int, timeout time.Duration, out io.Writer) error {
	conn, err := net.DialTimeout("udp", to, timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	start := time.Now()
	if err := conn.SetDeadline(start.Add(timeout)); err != nil {
		return err
	}
	if _, err := conn.Write(make([]byte, size)); err != nil {
		return err
	}
	answer := make([]byte, 64<<10)
	n, err := conn.Read(answer)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%d bytes came back of %d", n, size)
	}
	fmt.Fprintf(out, "%d bytes in %s\n", n, time.Since(start).Round(time.Microsecond))
	return nil
}
