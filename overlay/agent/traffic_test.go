//go:build lab

package agent

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
)

// handmade is WireGuard in user space as upstream's own example has it: the
// control of BenchmarkSpeed.
func handmade(link string, settings string) error {
	t, err := tun.CreateTUN(link, device.DefaultMTU)
	if err != nil {
		return err
	}
	dev := device.NewDevice(t, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	defer dev.Close()
	if err := dev.IpcSet(strings.ReplaceAll(settings, ",", "\n") + "\n"); err != nil {
		return err
	}
	if err := dev.Up(); err != nil {
		return err
	}
	fmt.Println("ready")
	<-dev.Wait()
	return nil
}

// handmadeKeys returns the settings of two devices that are each other's peer,
// but for the endpoint.
func handmadeKeys() (settings [2]string) {
	keys := [2]overlay.PrivateKey{overlay.NewPrivateKey(), overlay.NewPrivateKey()}
	for i := range keys {
		public := keys[1-i].Public()
		settings[i] = fmt.Sprintf("private_key=%s,listen_port=51999,public_key=%s,allowed_ip=10.99.0.0/16",
			hex.EncodeToString(keys[i][:]), hex.EncodeToString(public[:]))
	}
	return settings
}

// trips prints the median round trip of UDP echoes, in microseconds.
func trips(address string, count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	var took []time.Duration
	buf := make([]byte, 64)
	for range n {
		start := time.Now()
		c.Write([]byte("ping"))
		c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(buf); err == nil {
			took = append(took, time.Since(start))
		}
	}
	if len(took) < n/2 {
		return fmt.Errorf("%d of %d answered", len(took), n)
	}
	fmt.Println(median(took).Microseconds())
	return nil
}

// rate pushes streams for a while, and prints the Mbit/s until the server had all
// of it, and how many bytes that were.
func rate(address, duration, streams string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(streams)
	if err != nil {
		return err
	}
	list := make([]net.Conn, n)
	for i := range list {
		if list[i], err = net.DialTimeout("tcp", address, 5*time.Second); err != nil {
			return err
		}
		defer list[i].Close()
	}
	arrived, failed := make([]int, n), make([]error, n)
	var all sync.WaitGroup
	start := time.Now()
	for i, c := range list {
		all.Go(func() { arrived[i], failed[i] = push(c, start.Add(d)) })
	}
	all.Wait()
	took, total := time.Since(start), 0
	for i := range list {
		if failed[i] != nil {
			return failed[i]
		}
		total += arrived[i]
	}
	fmt.Printf("%.1f %d\n", float64(total)*8/1e6/took.Seconds(), total)
	return nil
}

// push writes until then and returns how many bytes the server says it has.
func push(c net.Conn, end time.Time) (int, error) {
	r := bufio.NewReader(c)
	if _, err := r.ReadString('\n'); err != nil {
		return 0, err
	}
	for chunk := make([]byte, 128<<10); time.Now().Before(end); {
		if _, err := c.Write(chunk); err != nil {
			return 0, err
		}
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// swallow reads to the end, as a program does that wants it all.
func swallow(r io.Reader) (total int) {
	for buf := make([]byte, 128<<10); ; {
		n, err := r.Read(buf)
		total += n
		if err != nil {
			return total
		}
	}
}

// sink takes datagrams, and answers a question, which is 8 bytes, with how many
// bytes it had since the last. The same question has the same answer, so that one
// may be lost.
func sink(address string) error {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		return err
	}
	if err := c.(*net.UDPConn).SetReadBuffer(4 << 20); err != nil {
		return err
	}
	total, asked, answer, buf := 0, [8]byte{}, 0, make([]byte, 2048)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return err
		}
		if n != len(asked) {
			total += n
			continue
		}
		if [8]byte(buf) != asked {
			asked, answer, total = [8]byte(buf), total, 0
		}
		c.WriteTo(strconv.AppendInt(nil, int64(answer), 10), from)
	}
}

// datagrams floods a sink for a while, and prints the Mbit/s that arrived.
func datagrams(address, duration string) error {
	d, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := question(c); err != nil {
		return err
	}
	start := time.Now()
	if err := flood(address, duration); err != nil {
		return err
	}
	bytes, err := question(c)
	if err != nil {
		return err
	}
	fmt.Printf("%.1f\n", float64(bytes)*8/1e6/max(time.Since(start), d).Seconds())
	return nil
}

// question asks a sink what it had, until it answers.
func question(c net.Conn) (int, error) {
	id := binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano()))
	buf := make([]byte, 32)
	for range 50 {
		c.Write(id)
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if n, err := c.Read(buf); err == nil {
			return strconv.Atoi(string(buf[:n]))
		}
	}
	return 0, fmt.Errorf("%v does not answer", c.RemoteAddr())
}

func median[T cmp.Ordered](list []T) T {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}
