//go:build lab

package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"provision/overlay"
)

// spoken is in everything that pods say to each other here.
const spoken = "outage: nobody on the wire may read this"

// answer sends back whatever comes, over TCP and UDP.
func answer(address string) error {
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
			if n, from, err := packets.ReadFrom(buf); err == nil {
				packets.WriteTo(buf[:n], from)
			} else if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}()
	for {
		c, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			io.Copy(c, c)
		}()
	}
}

// silence is a time without an answer.
type silence struct{ Begin, End int64 } // nanoseconds of the lab's clock

// heard is what came back of what was said.
type heard struct {
	Said, Answered int
	Longest        time.Duration
	Silences       []silence // longer than notable
	Connections    int       // of TCP
	last           time.Time
}

const (
	beat    = 5 * time.Millisecond
	notable = 250 * time.Millisecond
)

func (h *heard) answer() {
	now := time.Now()
	h.Answered++
	if gap := now.Sub(h.last); !h.last.IsZero() {
		h.Longest = max(h.Longest, gap)
		if gap > notable {
			h.Silences = append(h.Silences, silence{h.last.UnixNano(), now.UnixNano()})
		}
	}
	h.last = now
}

// conversationReport is what speak prints.
type conversationReport struct{ UDP, TCP heard }

// speakTo says something each 5 ms, over UDP and one TCP connection, until a file
// says that it is enough, and prints what came back. A TCP connection is given up,
// and another made, after so long a silence; "0s" is never.
func speakTo(address, enough, patience string) error {
	patient, err := time.ParseDuration(patience)
	if err != nil {
		return err
	}
	c, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	var report conversationReport
	var mu sync.Mutex
	go func() {
		buf := make([]byte, 2048)
		for {
			if _, err := c.Read(buf); errors.Is(err, net.ErrClosed) {
				return
			} else if err == nil {
				mu.Lock()
				report.UDP.answer()
				mu.Unlock()
			}
		}
	}()
	go func() {
		for {
			overOne(address, patient, &mu, &report.TCP)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	for ticker := time.NewTicker(beat); ; <-ticker.C {
		if _, err := os.Stat(enough); err == nil {
			break
		}
		mu.Lock()
		report.UDP.Said++
		mu.Unlock()
		c.Write([]byte(spoken)) // an error is what ICMP said of an earlier one
	}
	mu.Lock()
	defer mu.Unlock()
	return json.NewEncoder(os.Stdout).Encode(report)
}

// overOne speaks over one connection until it ends.
func overOne(address string, patience time.Duration, mu *sync.Mutex, h *heard) {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	mu.Lock()
	h.Connections++
	mu.Unlock()
	go func() {
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for ; ; <-ticker.C {
			if _, err := c.Write([]byte(spoken)); err != nil {
				return
			}
			mu.Lock()
			h.Said++
			mu.Unlock()
		}
	}()
	buf := make([]byte, len(spoken))
	for {
		if patience > 0 {
			c.SetReadDeadline(time.Now().Add(patience))
		}
		if _, err := io.ReadFull(c, buf); err != nil || string(buf) != spoken {
			return
		}
		mu.Lock()
		h.answer()
		mu.Unlock()
	}
}

// wireReport is what sniff saw.
type wireReport struct {
	Packets, WireGuard, Missed int
	Clear                      int // from or to a pod, or with what pods say
	First                      string
}

// sniffClear looks at every link of the namespace until a file says that it is
// enough. Every packet between machines is seen at both their ports.
func sniffClear(pods, enough string) error {
	prefix, err := netip.ParsePrefix(pods)
	if err != nil {
		return err
	}
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		return err
	}
	wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
	if err := errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
	); err != nil {
		return err
	}
	fmt.Println("ready")
	var report wireReport
	buf := make([]byte, 1<<16)
	for looked := time.Now(); ; {
		if time.Since(looked) > 100*time.Millisecond {
			if looked = time.Now(); isThere(enough) {
				break
			}
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			continue
		}
		report.add(prefix, buf[:n])
	}
	if stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		report.Missed = int(stats.Drops)
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}

func isThere(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func (r *wireReport) add(pods netip.Prefix, packet []byte) {
	r.Packets++
	clear := bytes.Contains(packet, []byte(spoken))
	if len(packet) >= 28 && packet[0]>>4 == 4 {
		from, _ := netip.AddrFromSlice(packet[12:16])
		to, _ := netip.AddrFromSlice(packet[16:20])
		clear = clear || pods.Contains(from) || pods.Contains(to)
		header := int(packet[0]&15) * 4
		if packet[9] == unix.IPPROTO_UDP && len(packet) >= header+4 && binary.BigEndian.Uint16(packet[header+2:]) == overlay.DefaultPort {
			r.WireGuard++
		}
		if clear && r.Clear == 0 {
			r.First = fmt.Sprintf("%v → %v, protocol %d, %d bytes", from, to, packet[9], len(packet))
		}
	}
	if clear {
		r.Clear++
	}
}
