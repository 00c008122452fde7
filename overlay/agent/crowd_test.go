//go:build lab

package agent

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
	"provision/overlay/nodes/nodestest"
	"provision/overlay/ping"
)

// node is as large as a real one, most of which is its images.
func node(i int, name, announcement string) map[string]any {
	var images []any
	for n := range 50 {
		images = append(images, map[string]any{"names": []string{fmt.Sprintf("registry.example/some/image-%d@sha256:%064d", n, n), fmt.Sprintf("registry.example/some/image-%d:v1.2.3", n)}, "sizeBytes": 123456789})
	}
	large := nodestest.Node(name, fmt.Sprintf("10.244.%d.0/24", i), announcement)
	large["status"] = map[string]any{"images": images}
	return large
}

// heartbeats has each Node written every 5 minutes, as kubelets do.
func heartbeats(a *nodestest.API, nodes int) (stop func()) {
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(5 * time.Minute / time.Duration(nodes))
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			a.Touch(i)
		}
	}()
	return func() { close(done) }
}

// serveAPI answers in a namespace.
func serveAPI(t testing.TB, a *nodestest.API, namespace, address string) {
	t.Helper()
	var listener net.Listener
	inside(t, namespace, func() (err error) {
		listener, err = net.Listen("tcp4", address)
		return err
	})
	server := &http.Server{Handler: a}
	go server.Serve(listener)
	t.Cleanup(func() { a.Cut(true); server.Close() })
}

// animate gives the simulated machines a WireGuard each, real but for its TUN:
// behind it, pings are answered, and the real machines are asked as often as an
// agent would.
func (c *crowd) animate() {
	c.t.Helper()
	const far = "ovlab-far"
	namespace(c.t, far)
	plug(c.t, far, "192.0.2.253")
	peers := ""
	for _, m := range c.machines {
		eventually(c.t, m.name+" has a key", 20*time.Second, func() bool { return m.status().PublicKey != overlay.Key{} })
		public := m.status().PublicKey
		peers += fmt.Sprintf("public_key=%s\nendpoint=%s:51820\nallowed_ip=%s\n", hex.EncodeToString(public[:]), m.address, m.subnet)
	}
	sockets := map[string]*net.UDPConn{}
	addresses := ""
	for name := range c.others {
		addresses += "ip addr add 192.0.2." + strings.TrimPrefix(name, "sim") + "/32 dev eth0;"
	}
	run(c.t, "ip", "netns", "exec", far, "sh", "-ec", addresses)
	inside(c.t, far, func() (err error) {
		for name := range c.others {
			address := net.ParseIP("192.0.2." + strings.TrimPrefix(name, "sim"))
			if sockets[name], err = net.ListenUDP("udp4", &net.UDPAddr{IP: address, Port: 51820}); err != nil {
				return err
			}
		}
		return nil
	})
	for name, key := range c.others {
		settings := fmt.Sprintf("private_key=%s\n", hex.EncodeToString(key[:])) + peers
		link := &wire{packets: make(chan []byte, 64), events: make(chan tun.Event)}
		dev := device.NewDevice(link, &single{socket: sockets[name]}, device.NewLogger(device.LogLevelSilent, ""))
		c.t.Cleanup(dev.Close)
		if err := dev.IpcSet(settings); err != nil {
			c.t.Fatal(err)
		}
		if err := dev.Up(); err != nil {
			c.t.Fatal(err)
		}
		go link.ask(net.ParseIP("10.244."+strings.TrimPrefix(name, "sim")+".2").To4(), c.machines, ping.Round(len(c.others)+len(c.machines)))
	}
}

// single is a socket as a WireGuard device uses it, one packet at a time.
type single struct {
	socket *net.UDPConn
	open   bool
}

func (s *single) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	s.open = true
	return []conn.ReceiveFunc{func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, address, err := s.socket.ReadFromUDPAddrPort(packets[0])
		sizes[0], from[0] = n, &conn.StdNetEndpoint{AddrPort: address}
		return 1, err
	}}, 51820, nil
}

func (s *single) Close() error {
	if !s.open {
		return nil
	}
	return s.socket.Close()
}

func (s *single) Send(packets [][]byte, to conn.Endpoint) error {
	for _, p := range packets {
		if _, err := s.socket.WriteToUDPAddrPort(p, to.(*conn.StdNetEndpoint).AddrPort); err != nil {
			return err
		}
	}
	return nil
}

func (s *single) SetMark(uint32) error { return nil }
func (s *single) BatchSize() int       { return 1 }
func (s *single) ParseEndpoint(text string) (conn.Endpoint, error) {
	return conn.NewDefaultBind().ParseEndpoint(text)
}

// wire is a TUN whose other end answers pings.
type wire struct {
	packets chan []byte
	events  chan tun.Event
	once    sync.Once
	done    sync.Once
}

func (w *wire) Read(packets [][]byte, sizes []int, offset int) (int, error) {
	p, ok := <-w.packets
	if !ok {
		return 0, os.ErrClosed
	}
	sizes[0] = copy(packets[0][offset:], p)
	return 1, nil
}

func (w *wire) Write(packets [][]byte, offset int) (int, error) {
	for _, p := range packets {
		if p = p[offset:]; len(p) >= 28+16 && p[9] == 17 && string(p[28:32]) == "pvpq" {
			answer := slices.Clone(p[28:44])
			copy(answer, "pvpa")
			w.send(datagram(p[16:20], p[12:16], answer))
		}
	}
	return len(packets), nil
}

func (w *wire) send(p []byte) {
	defer func() { recover() }() // closed meanwhile
	select {
	case w.packets <- p:
	default:
	}
}

// ask sends every real machine a ping in each round.
func (w *wire) ask(self net.IP, machines []*machine, round time.Duration) {
	for range w.ticks(round) {
		for _, m := range machines {
			to := net.ParseIP(strings.TrimSuffix(m.subnet, "0/24") + "2").To4()
			w.send(datagram(self, to, append([]byte("pvpqaskedbys"), 0, 0, 0, 1)))
		}
	}
}

// ticks ends with the TUN.
func (w *wire) ticks(round time.Duration) <-chan time.Time {
	c := make(chan time.Time)
	go func() {
		defer close(c)
		ticker := time.NewTicker(round)
		defer ticker.Stop()
		for {
			select {
			case <-w.events:
				return
			case now := <-ticker.C:
				c <- now
			}
		}
	}()
	return c
}

// datagram is a packet between two agents. Its UDP checksum is left out, which
// IPv4 allows.
func datagram(from, to, payload []byte) []byte {
	p := make([]byte, 28, 28+len(payload))
	p[0], p[8], p[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(p[2:], uint16(28+len(payload)))
	copy(p[12:], from)
	copy(p[16:], to)
	sum := uint32(0)
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum))
	binary.BigEndian.PutUint16(p[20:], overlay.AgentPort)
	binary.BigEndian.PutUint16(p[22:], overlay.AgentPort)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(payload)))
	return append(p, payload...)
}

func (w *wire) File() *os.File           { return nil }
func (w *wire) MTU() (int, error)        { return 1420, nil }
func (w *wire) Name() (string, error)    { return "far", nil }
func (w *wire) Events() <-chan tun.Event { return w.events }
func (w *wire) BatchSize() int           { return 1 }
func (w *wire) Close() error {
	w.done.Do(func() { close(w.events); close(w.packets) })
	return nil
}
