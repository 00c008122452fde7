//go:build kernel

package kerneltest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"provision/testenv"
)

// The machines get a copy of this test's own program and run it as "guest".
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "guest" {
		if err := guest(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testenv.Init()
	os.Exit(m.Run())
}

func guest(name string, args []string) error {
	switch name {
	case "serve":
		return serve(args[0])
	case "send":
		return send(args[0])
	case "gap":
		return gap(args[0], args[1])
	}
	return fmt.Errorf("no command %q", name)
}

// serve answers datagrams with themselves, and a TCP stream with who sent how
// many bytes.
func serve(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := packets.ReadFrom(buf)
			if err != nil {
				return
			}
			packets.WriteTo(buf[:n], from)
		}
	}()
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			n, _ := io.Copy(io.Discard, c)
			fmt.Fprintln(c, host, n)
		}()
	}
}

// send pushes 1 MiB and prints what the server says of it.
func send(address string) error {
	c, err := net.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.Write(make([]byte, 1<<20)); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(line)
	return err
}

// gap sends a numbered datagram each 20 ms for a while, and prints how many were
// sent, how many of them were not answered, and the longest time without an
// answer in ms.
func gap(address, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	end := time.Now().Add(d)
	counted := make(chan uint32)
	go func() {
		sent := uint32(0)
		for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			c.Write(binary.BigEndian.AppendUint32(nil, sent)) // an error is a datagram lost
			sent++
		}
		counted <- sent
	}()
	got, last, longest := uint32(0), time.Now(), time.Duration(0)
	buf := make([]byte, 64)
	c.SetReadDeadline(end.Add(time.Second))
	for time.Now().Before(end.Add(time.Second)) {
		if _, err := c.Read(buf); err != nil {
			continue // the deadline, or an ICMP error told through the socket
		}
		got++
		longest = max(longest, time.Since(last))
		last = time.Now()
	}
	if last.Before(end) {
		longest = max(longest, end.Sub(last))
	}
	sent := <-counted
	fmt.Println(sent, sent-got, longest.Milliseconds())
	return nil
}
