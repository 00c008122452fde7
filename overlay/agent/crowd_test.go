//go:build lab

package agent

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"provision/overlay"
	"provision/overlay/ping"
)

// api is an API server that knows Nodes: it lists, watches and patches them, and
// can be down.
type api struct {
	mu      sync.Mutex
	down    bool
	version int
	nodes   map[string]map[string]any
	history []string // the event of each version, from the first on
	watches []chan string
}

func newAPI() *api { return &api{nodes: map[string]map[string]any{}} }

func kubeconfig(url string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","clusters":[{"name":"x","cluster":{"server":%q}}],
"contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],"users":[{"name":"x","user":{}}]}`, url)
}

// node is as large as a real one, most of which is its images.
func node(i int, name, announcement string) map[string]any {
	var images []any
	for n := range 50 {
		images = append(images, map[string]any{"names": []string{fmt.Sprintf("registry.example/some/image-%d@sha256:%064d", n, n), fmt.Sprintf("registry.example/some/image-%d:v1.2.3", n)}, "sizeBytes": 123456789})
	}
	metadata := map[string]any{"name": name, "uid": "uid-" + name, "annotations": map[string]string{overlay.Annotation: announcement}}
	return map[string]any{"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": map[string]any{"podCIDRs": []string{fmt.Sprintf("10.244.%d.0/24", i)}}, "status": map[string]any{"images": images}}
}

func (a *api) set(kind string, n map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tell(kind, n)
}

func (a *api) tell(kind string, n map[string]any) {
	a.version++
	metadata := n["metadata"].(map[string]any)
	metadata["resourceVersion"] = fmt.Sprint(a.version)
	if kind == "DELETED" {
		delete(a.nodes, metadata["name"].(string))
	} else {
		a.nodes[metadata["name"].(string)] = n
	}
	event, _ := json.Marshal(map[string]any{"type": kind, "object": n})
	a.history = append(a.history, string(event))
	for _, w := range a.watches {
		w <- string(event)
	}
}

func (a *api) names() map[string]bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	set := map[string]bool{}
	for name := range a.nodes {
		set[name] = true
	}
	return set
}

// heartbeats has each Node written every 5 minutes, as kubelets do.
func (a *api) heartbeats(nodes int) (stop func()) {
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
			a.mu.Lock()
			names := slices.Sorted(maps.Keys(a.nodes))
			a.tell("MODIFIED", a.nodes[names[i%len(names)]])
			a.mu.Unlock()
		}
	}()
	return func() { close(done) }
}

// cut ends all watches, as an API server that stops does.
func (a *api) cut(down bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = down
	for _, w := range a.watches {
		close(w)
	}
	a.watches = nil
}

// serve answers in a namespace.
func (a *api) serve(t testing.TB, namespace, address string) {
	t.Helper()
	var listener net.Listener
	inside(t, namespace, func() (err error) {
		listener, err = net.Listen("tcp4", address)
		return err
	})
	server := &http.Server{Handler: a}
	go server.Serve(listener)
	t.Cleanup(func() { a.cut(true); server.Close() })
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.down {
		a.mu.Unlock()
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPatch:
		defer a.mu.Unlock()
		var patch struct {
			Metadata struct{ Annotations map[string]string }
		}
		body, _ := io.ReadAll(r.Body)
		n, found := a.nodes[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if err := json.Unmarshal(body, &patch); err != nil || !found {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		if metadata := n["metadata"].(map[string]any); !reflect.DeepEqual(metadata["annotations"], patch.Metadata.Annotations) {
			metadata["annotations"] = patch.Metadata.Annotations
			a.tell("MODIFIED", n)
		}
		json.NewEncoder(w).Encode(n)
	case r.URL.Query().Get("sendInitialEvents") == "true":
		a.mu.Unlock() // an old server: the client falls back to a list
		w.WriteHeader(http.StatusUnprocessableEntity)
		io.WriteString(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422}`)
	case r.URL.Query().Get("watch") != "":
		since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
		missed := slices.Clone(a.history[min(since, len(a.history)):])
		events := make(chan string, 1000)
		a.watches = append(a.watches, events)
		a.mu.Unlock()
		for _, event := range missed {
			io.WriteString(w, event+"\n")
		}
		w.(http.Flusher).Flush()
		for {
			select {
			case event, ok := <-events:
				if !ok {
					return
				}
				io.WriteString(w, event+"\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	default:
		items := []map[string]any{}
		for _, n := range a.nodes {
			items = append(items, n)
		}
		json.NewEncoder(w).Encode(map[string]any{"apiVersion": "v1", "kind": "NodeList", "metadata": map[string]string{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
		a.mu.Unlock()
	}
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
