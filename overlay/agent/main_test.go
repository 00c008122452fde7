//go:build lab

package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/overlay/userspace"
)

// The lab runs this test's own binary inside namespaces, under these names.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "lab" {
		if err := command(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, os.Args[2]+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func command(name string, args []string) error {
	switch name {
	case "overlay":
		c := NewCommand()
		c.SetArgs(args)
		return c.Execute()
	case "wireguard":
		c := userspace.NewCommand()
		c.SetArgs(args)
		return c.Execute()
	case "remove":
		config, err := load(args[0] + "/overlay.json")
		if err != nil {
			return err
		}
		removed, err := Remove(config)
		fmt.Println(strings.Join(removed, "\n"))
		return err
	case "serve":
		return serve(args[0])
	case "call":
		return call(args[0])
	case "get":
		return get(args[0])
	case "send":
		return send(args[0])
	case "stream":
		return stream(args[0], args[1])
	case "handmade":
		return handmade(args[0], args[1])
	case "trips":
		return trips(args[0], args[1])
	case "rate":
		return rate(args[0], args[1], args[2])
	case "sink":
		return sink(args[0])
	case "datagrams":
		return datagrams(args[0], args[1])
	case "flood":
		return flood(args[0], args[1])
	case "gap":
		return gap(args[0], args[1])
	case "sniff":
		return sniff(args[0], args[1])
	case "forget":
		return netlink.ConntrackTableFlush(netlink.ConntrackTable)
	case "hush":
		return hush()
	}
	return fmt.Errorf("no command %q", name)
}

// serve answers TCP with who called and how many bytes of payload a segment
// holds, then takes what comes; and UDP with what it was sent.
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
			mss := 0
			raw, _ := c.(*net.TCPConn).SyscallConn()
			raw.Control(func(fd uintptr) { mss, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
			fmt.Fprintf(c, "%s %d\n", host, mss)
			fmt.Fprintf(c, "%d\n", swallow(c))
		}()
	}
}

// call prints what a server says: whom it saw, and its segment size.
func call(address string) error {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Second))
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(line)
	return err
}

// get prints what an HTTP server says.
func get(url string) error {
	client := http.Client{Timeout: 3 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// send pushes 8 MiB and prints how many arrived.
func send(address string) error {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return err
	}
	if _, err := c.Write(make([]byte, 8<<20)); err != nil {
		return err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	line, err := r.ReadString('\n')
	fmt.Print(line)
	return err
}

// stream pushes for a while and prints how many bytes went.
func stream(address, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(d))
	sent, chunk := 0, make([]byte, 128<<10)
	for {
		n, err := c.Write(chunk)
		sent += n
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				fmt.Println(sent)
				return nil
			}
			return err
		}
	}
}

// flood sends datagrams as fast as the kernel takes them, in batches that it
// cuts into packets, and does not care where they go.
func flood(address, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var option error
	if err := raw.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1200)
	}); err != nil || option != nil {
		return errors.Join(err, option)
	}
	batch := make([]byte, 40*1200)
	for end := time.Now().Add(d); time.Now().Before(end); {
		c.Write(batch)
	}
	return nil
}

// gap sends a numbered datagram each 5 ms for a while, and prints how many of
// them were not answered, and the longest time without an answer in ms.
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
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	sent := 0
	go func() {
		ticker := time.NewTicker(5 * time.Millisecond)
		defer ticker.Stop()
		for ctx.Err() == nil {
			c.Write(binary.BigEndian.AppendUint32(nil, uint32(sent)))
			sent++
			<-ticker.C
		}
	}()
	begin := time.Now()
	got, last, longest := 0, begin, time.Duration(0)
	buf := make([]byte, 64)
	for end := begin.Add(d + 300*time.Millisecond); time.Now().Before(end); {
		c.SetReadDeadline(end)
		if _, err := c.Read(buf); err != nil {
			if netErr, ok := err.(net.Error); ok && netErr.Timeout() {
				break
			}
			continue // an ICMP error told through the socket
		}
		got++
		longest = max(longest, time.Since(last))
		last = time.Now()
	}
	longest = max(longest, begin.Add(d).Sub(last)) // none came to the end
	fmt.Println(sent-got, longest.Milliseconds())
	return nil
}

// sniff prints how many IP packets of 10.244.0.0/16 pass a link in clear.
func sniff(link, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	all := int(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL)))
	// Protocol 0: a socket hears every link until it is bound to one.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	itf, err := net.InterfaceByName(link)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: uint16(all), Ifindex: itf.Index}); err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
		return err
	}
	fmt.Println("ready")
	clear, total := 0, 0
	buf := make([]byte, 2048)
	for end := time.Now().Add(d); time.Now().Before(end); {
		n, err := syscall.Read(fd, buf)
		if err != nil || n < 20 || buf[0]>>4 != 4 {
			continue
		}
		total++
		if (buf[12] == 10 && buf[13] == 244) || (buf[16] == 10 && buf[17] == 244) {
			clear++
		}
	}
	fmt.Println(strconv.Itoa(clear), strconv.Itoa(total))
	return nil
}
