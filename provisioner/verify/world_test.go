package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"provision/components"
	"provision/components/wire"
	"provision/provisioner/mesh"
)

// world is a cluster made of memory: namespaces hold what was applied to them,
// pods answer on their addresses, Services choose among pods, and a machine
// without power answers nothing.
type world struct {
	mu         sync.Mutex
	machines   []string // the first is the master
	namespaces map[string]*space
	pods       []*fakePod
	turn       int // Services take their pods in turn
	broken     func(from, to, how string) error
	dual       bool     // pods and Services have addresses of both families
	sixFirst   bool     // and that of IPv6 is a pod's first, as on machines with IPv6 alone
	requests   []string // that change something
	notReady   map[string]string
	off        map[string]bool
	lost       map[string]bool // off for so long that the cluster has noticed

	files     map[string]string // of every machine, or "w1:/etc/resolv.conf"
	resolvers map[string]int    // DNS servers, by address, and the code that they answer with
	egress    func(node, server string) error
	lingering time.Duration // how long pods stay after they were told to go

	leader  string                     // the master whose etcd leads; "": there is one master
	objects map[string]map[string]bool // ConfigMaps by path, and their keys
	forgets bool                       // acknowledged writes
	ran     []string                   // what was run on machines, and by whose systemd

	links   func(node string) (wire.Report, error) // what the look at a machine's links finds
	tunnels func(node string) mesh.Seen            // what its overlay's agent says
	sniffs  []wire.Request
	told    []string // argv of each exchange, by the pod's node
}

type space struct {
	owner   string
	created time.Time
}

type fakePod struct {
	name, set, node, address, namespace string
	since                               time.Time // Ready from then on
	gone, target, dual, sixFirst        bool
}

func newWorld(machines ...string) *world {
	return &world{
		machines: machines, namespaces: map[string]*space{}, notReady: map[string]string{}, off: map[string]bool{}, lost: map[string]bool{},
		objects:   map[string]map[string]bool{},
		broken:    func(_, _, _ string) error { return nil },
		files:     map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.53\n"},
		resolvers: map[string]int{"192.0.2.53": dns.RcodeSuccess},
		egress:    func(_, _ string) error { return nil },
		links: func(string) (wire.Report, error) {
			return wire.Report{Links: []wire.Link{{Name: "eth0", Packets: 90, WireGuard: 40}, {Name: "eth1", Packets: 10}}}, nil
		},
	}
}

// options describe the world's machines: m… is a master, all others workers.
func (w *world) options() Options {
	o := Options{Image: "provision.internal/probe:1", Domain: "cluster.local", Dual: w.dual, Port: 51820}
	if w.dual {
		o.DNS6 = netip.MustParseAddr(six("10.96.0.10"))
	}
	for i, name := range w.machines {
		role := components.Worker
		if strings.HasPrefix(name, "m") {
			role = components.Master
		}
		o.Machines = append(o.Machines, Machine{
			Name: name, Role: role, Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}),
			Dial:     func(ctx context.Context, _, address string) (net.Conn, error) { return w.dial(ctx, name, address) },
			ReadFile: func(_ context.Context, file string) ([]byte, error) { return w.readFile(name, file) },
			Sniff: func(ctx context.Context, request wire.Request, ready func(), hold io.Reader) (wire.Report, error) {
				return w.sniff(ctx, name, request, ready, hold)
			},
			Overlay: func(context.Context) mesh.Seen {
				if w.tunnels != nil {
					return w.tunnels(name)
				}
				return w.sound(name)
			},
		})
		if w.dual && role == components.Worker { // the master has IPv4 alone
			o.Machines[i].Address6 = netip.MustParseAddr(six(o.Machines[i].Address.String()))
		}
	}
	return o
}

func (w *world) Ready(context.Context) error { return nil }

func (w *world) add(namespace, set, node string) {
	index := slices.Index(w.machines, node)
	w.pods = append(w.pods, &fakePod{
		dual: w.dual, sixFirst: w.sixFirst, name: fmt.Sprintf("%s-%s-%d", set, node, len(w.pods)), set: set, node: node, namespace: namespace,
		address: fmt.Sprintf("10.244.%d.%d", index, len(w.pods)+2), since: time.Now().Add(time.Second),
	})
}

func (w *world) Apply(_ context.Context, manifests []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var namespace string
	for _, document := range strings.Split(string(manifests), "\n---\n") {
		switch {
		case strings.Contains(document, "kind: Namespace"):
			namespace = after(document, "\n  name: ")
			owner := strings.Trim(after(document, "provision.internal/owner: "), `"`)
			w.namespaces[namespace] = &space{owner: owner, created: time.Now()}
		case strings.Contains(document, "kind: DaemonSet"):
			for _, node := range w.machines {
				w.add(namespace, after(document, "metadata: {name: "), node)
			}
		case strings.Contains(document, "kind: Deployment"):
			for _, node := range w.machines {
				if !strings.HasPrefix(node, "m") {
					w.add(namespace, "web", node)
				}
			}
		}
	}
	return nil
}

// after returns the word that follows a text.
func after(document, text string) string {
	_, rest, _ := strings.Cut(document+"\n", text)
	return strings.TrimSpace(rest[:strings.IndexAny(rest, ",\n")])
}

func (w *world) Do(ctx context.Context, method, target, _ string, body []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if method != http.MethodGet {
		w.requests = append(w.requests, method+" "+u.Path)
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case u.Path == "/api/v1/nodes":
		var items []any
		for i, name := range w.machines {
			items = append(items, w.node(i, name))
		}
		return json.Marshal(map[string]any{"items": items})
	case strings.HasPrefix(u.Path, "/api/v1/nodes/"):
		return json.Marshal(w.node(slices.Index(w.machines, parts[3]), parts[3]))
	case u.Path == "/api/v1/namespaces":
		var items []any
		for name, s := range w.namespaces {
			items = append(items, map[string]any{"metadata": map[string]any{
				"name": name, "creationTimestamp": s.created, "annotations": map[string]string{"provision.internal/owner": s.owner},
			}})
		}
		return json.Marshal(map[string]any{"items": items})
	case u.Path == "/api/v1/namespaces/default/services":
		return json.Marshal(services("kubernetes", "10.96.0.1"))
	}
	if w.namespaces[parts[slices.Index(parts, "namespaces")+1]] == nil {
		return nil, fmt.Errorf("%s: %w", u.Path, fs.ErrNotExist)
	}
	switch {
	case strings.Contains(u.Path, "/configmaps"):
		return w.configMap(method, u.Path, body)
	case method == http.MethodDelete && w.lingering > 0:
		time.AfterFunc(w.lingering, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.namespaces, parts[3])
		})
		return nil, nil
	case method == http.MethodDelete && strings.HasSuffix(u.Path, "/pods"):
		w.pods = slices.DeleteFunc(w.pods, func(p *fakePod) bool { return p.namespace == parts[3] })
		return nil, nil
	case method == http.MethodDelete:
		delete(w.namespaces, parts[3])
		w.pods = slices.DeleteFunc(w.pods, func(p *fakePod) bool { return p.namespace == parts[3] })
		return nil, nil
	case method == http.MethodPatch:
		w.find(parts[5]).target = strings.Contains(string(body), "provision.internal/target")
		return nil, nil
	case strings.HasSuffix(u.Path, "/pods"):
		var items []any
		for _, p := range w.pods {
			if !p.gone {
				items = append(items, p.object())
			}
		}
		return json.Marshal(map[string]any{"items": items})
	case strings.HasSuffix(u.Path, "/services"):
		return json.Marshal(services("all", "10.96.0.20", "near", "10.96.0.21", "one", "10.96.0.22", "web", "10.96.0.23"))
	case strings.HasSuffix(u.Path, "/endpointslices"):
		var endpoints []any
		for _, p := range w.behind("web", "") {
			endpoints = append(endpoints, map[string]any{"nodeName": p.node, "conditions": map[string]any{"ready": true}})
		}
		return json.Marshal(map[string]any{"items": []any{map[string]any{"endpoints": endpoints}}})
	}
	return nil, fmt.Errorf("%s %s: not in this world", method, target)
}

func services(pairs ...string) any {
	var items []any
	for i := 0; i < len(pairs); i += 2 {
		items = append(items, map[string]any{
			"metadata": map[string]any{"name": pairs[i]},
			"spec":     map[string]any{"clusterIP": pairs[i+1], "clusterIPs": []string{pairs[i+1], six(pairs[i+1])}, "ports": []any{map[string]any{"nodePort": 30001}}},
		})
	}
	return map[string]any{"items": items}
}

func (w *world) node(index int, name string) any {
	status, message := "True", ""
	if why, is := w.notReady[name]; is || w.lost[name] {
		status, message = "False", why
	}
	return map[string]any{
		"metadata": map[string]any{"name": name, "annotations": map[string]string{"provision.internal/overlay": `{"version":1,"mode":"userspace"}`}},
		"status": map[string]any{
			"conditions": []any{map[string]any{"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": message}},
			"addresses":  []any{map[string]any{"type": "InternalIP", "address": fmt.Sprintf("10.0.0.%d", index+1)}},
		},
	}
}

func (p *fakePod) ready() bool { return !p.gone && !time.Now().Before(p.since) }

func (p *fakePod) object() any {
	status := "False"
	if p.ready() {
		status = "True"
	}
	return map[string]any{
		"metadata": map[string]any{"name": p.name, "labels": map[string]string{"app": p.set}},
		"spec":     map[string]any{"nodeName": p.node},
		"status":   map[string]any{"phase": "Pending", "podIP": p.addresses()[0].(map[string]any)["ip"], "podIPs": p.addresses(), "conditions": []any{map[string]any{"type": "Ready", "status": status}}},
	}
}

func (w *world) find(name string) *fakePod {
	for _, p := range w.pods {
		if p.name == name {
			return p
		}
	}
	return &fakePod{}
}

// behind returns the pods that a Service leads to, for a caller on a machine.
func (w *world) behind(service, node string) []*fakePod {
	var found []*fakePod
	for _, p := range w.pods {
		match := map[string]bool{
			"all": p.set == probeSet, "near": p.set == probeSet && p.node == node, "one": p.target, "web": p.set == "web" && !w.lost[p.node],
		}[service]
		if match && p.ready() {
			found = append(found, p)
		}
	}
	return found
}

// answer is what comes back on a machine when something there asks an address.
func (w *world) answer(node, client, address string) (greeting, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	host, _, _ := net.SplitHostPort(address)
	if strings.Contains(host, ":") {
		if err := w.broken(node, "", "IPv6"); err != nil {
			return greeting{}, err
		}
		host, client = four(host), six(client)
	}
	var candidates []*fakePod
	how := "pod"
	service := map[string]string{"10.96.0.20": "all", "10.96.0.21": "near", "10.96.0.22": "one", "10.96.0.23": "web"}[host]
	switch {
	case strings.HasPrefix(host, "10.0.0."):
		candidates, how = w.behind("one", node), "node port"
	case service != "":
		candidates, how = w.behind(service, node), service
	default:
		for _, p := range w.pods {
			if p.address == host && p.ready() {
				candidates = append(candidates, p)
			}
		}
	}
	if len(candidates) == 0 {
		return greeting{}, errors.New("connection refused")
	}
	w.turn++
	to := candidates[w.turn%len(candidates)]
	if err := w.broken(node, to.node, how); err != nil {
		return greeting{}, err
	}
	if w.off[to.node] {
		return greeting{}, errSilence
	}
	return greeting{Pod: to.name, Node: to.node, Client: client}, nil
}

var errSilence = errors.New("nothing comes back")

func (w *world) readFile(node, file string) ([]byte, error) {
	for _, name := range []string{node + ":" + file, file} {
		if text, is := w.files[name]; is {
			return []byte(text), nil
		}
	}
	return nil, fs.ErrNotExist
}

// dial gives a connection on which one HTTP request, or one of DNS, is answered.
func (w *world) dial(ctx context.Context, node, address string) (net.Conn, error) {
	if server, is := strings.CutSuffix(address, ":53"); is {
		return w.dialResolver(server)
	}
	if address == "127.0.0.1:2381" {
		return w.dialEtcd(ctx, node)
	}
	got, err := w.answer(node, "10.0.0.99", address)
	if errors.Is(err, errSilence) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, err := http.ReadRequest(bufio.NewReader(far)); err == nil {
			text, _ := json.Marshal(got)
			fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(text), text)
		}
	}()
	return near, nil
}

func (w *world) dialResolver(server string) (net.Conn, error) {
	code, is := w.resolvers[server]
	if !is {
		return nil, errors.New("network is unreachable")
	}
	near, far := net.Pipe()
	go func() {
		conn := &dns.Conn{Conn: far}
		defer conn.Close()
		if question, err := conn.ReadMsg(); err == nil {
			conn.WriteMsg(new(dns.Msg).SetRcode(question, code))
		}
	}()
	return near, nil
}

// left fails the test where something of ours is still in the world.
func (w *world) left(t *testing.T) {
	t.Helper()
	for name := range w.namespaces {
		t.Errorf("namespace %s was left behind", name)
	}
}
