//go:build lab

package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"provision/overlay"
)

// A machine is a network namespace with an address on a shared underlay, and a
// pod in a namespace of its own, plugged into bridge0 by hand.
type machine struct {
	t           testing.TB
	name        string // of the node and the namespace
	pod         string // the pod's namespace
	address     string // on the underlay
	podAddress  string
	subnet      string
	dir         string
	config      overlay.Config
	agent, wire *process
	server      *process // in the pod
	router      string   // the namespace of the NAT that it is behind; "": it is on the underlay
}

// process is a daemon of ours, and what it logged.
type process struct {
	command *exec.Cmd
	done    chan struct{}
	log     lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const underlay = "ovlab-net" // the namespace with the switch

func run(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := try(argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

func try(argv ...string) (string, error) { return tryFor(40*time.Second, argv...) }

func tryFor(limit time.Duration, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.CombinedOutput()
	return string(out), err
}

func ip(t testing.TB, namespace, arguments string) string {
	t.Helper()
	return run(t, append([]string{"ip", "-n", namespace}, strings.Fields(arguments)...)...)
}

func namespace(t testing.TB, name string) {
	t.Helper()
	try("ip", "netns", "del", name) // left by a run that was killed
	run(t, "ip", "netns", "add", name)
	t.Cleanup(func() { try("ip", "netns", "del", name) })
	ip(t, name, "link set lo up")
}

// newSwitch makes a namespace's switch, into which others are plugged.
func newSwitch(t testing.TB, namespace string) {
	t.Helper()
	ip(t, namespace, "link add switch type bridge")
	ip(t, namespace, "link set switch up")
}

// plug connects a namespace to the underlay's switch.
func plug(t testing.TB, name, address string) {
	t.Helper()
	plugInto(t, underlay, name, address)
}

func plugInto(t testing.TB, into, name, address string) {
	t.Helper()
	ip(t, into, fmt.Sprintf("link add to-%s mtu 1500 type veth peer name eth0 netns %s", name, name))
	ip(t, into, "link set to-"+name+" master switch up")
	if strings.Contains(address, ":") {
		ip(t, name, "addr add "+address+"/64 dev eth0 nodad")
	} else {
		ip(t, name, "addr add "+address+"/24 dev eth0")
	}
	ip(t, name, "link set eth0 up")
}

// newLab makes n machines and starts what runs on them. place changes a machine
// before its first boot.
func newLab(t testing.TB, n int, place ...func(*machine)) []*machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("the lab needs root")
	}
	if err := os.MkdirAll("/run/wireguard", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove("/run/wireguard") }) // unless somebody uses it
	namespace(t, underlay)
	newSwitch(t, underlay)
	var list []*machine
	for i := 1; i <= n; i++ {
		m := &machine{
			t: t, name: fmt.Sprintf("ovlab%d", i), pod: fmt.Sprintf("ovlab%d-pod", i),
			address: fmt.Sprintf("192.0.2.%d", i), podAddress: fmt.Sprintf("10.244.%d.9", i), subnet: fmt.Sprintf("10.244.%d.0/24", i),
			dir: t.TempDir(),
		}
		m.config = overlay.Default(m.name, netip.MustParseAddr(m.address), overlay.Range{Prefix: netip.MustParsePrefix("10.244.0.0/16"), NodeMask: 24}, netip.MustParsePrefix("10.96.0.0/16"))
		m.config.Kubeconfig, m.config.NodeKubeconfig = "", ""
		m.config.Mode = overlay.Userspace
		m.config.StaticNodes = filepath.Join(m.dir, "nodes.json")
		m.config.StateDir, m.config.RunDir = filepath.Join(m.dir, "state"), filepath.Join(m.dir, "run")
		m.config.CNIConf = filepath.Join(m.dir, "10-provision.conflist")
		for _, p := range place {
			p(m)
		}
		m.configure()
		os.Mkdir(filepath.Join(m.dir, "sockets"), 0o755)
		m.boot()
		list = append(list, m)
	}
	return list
}

// configure writes the agent's configuration.
func (m *machine) configure() {
	m.t.Helper()
	data, err := json.Marshal(m.config)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("overlay.json", data)
}

// boot makes the machine's kernel anew; its disk stays.
func (m *machine) boot() {
	m.t.Helper()
	into := underlay
	if m.router != "" {
		into = m.router
	}
	try("ip", "-n", into, "link", "del", "to-"+m.name)
	namespace(m.t, m.name)
	plugInto(m.t, into, m.name, m.address)
	if m.router != "" {
		ip(m.t, m.name, "route add default via "+netip.MustParsePrefix(m.address+"/24").Masked().Addr().Next().String())
	}
	namespace(m.t, m.pod)
	m.wire = m.start("wireguard")
	m.agent = m.start("overlay")
}

// plugPod connects the pod and starts its server.
func (m *machine) plugPod() {
	m.t.Helper()
	m.attach(m.pod, "pod0", m.podAddress)
	m.server = m.background(m.pod, "serve", "0.0.0.0:8080")
}

// attach connects a pod to bridge0 as the CNI plugins would, but for the MTU.
func (m *machine) attach(pod, link, address string) {
	m.t.Helper()
	ip(m.t, m.name, "link add "+link+" mtu 1500 type veth peer name eth0 netns "+pod)
	ip(m.t, m.name, "link set "+link+" master bridge0 up")
	ip(m.t, m.name, "link set "+link+" type bridge_slave hairpin on")
	ip(m.t, pod, "addr add "+address+"/24 dev eth0")
	ip(m.t, pod, "link set eth0 mtu 1500 up")
	ip(m.t, pod, "route add default via "+strings.TrimSuffix(m.subnet, "0/24")+"1")
}

func (m *machine) write(name string, data []byte) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), data, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// start runs one of our daemons in the machine's namespace, with its own
// /run/wireguard.
func (m *machine) start(name string) *process {
	m.t.Helper()
	script := fmt.Sprintf("mount --bind %s/sockets /run/wireguard && exec %s lab %s --config %s/overlay.json", m.dir, os.Args[0], name, m.dir)
	return spawn(m.t, "ip", "netns", "exec", m.name, "sh", "-c", script)
}

func (m *machine) background(namespace string, args ...string) *process {
	m.t.Helper()
	return spawn(m.t, append([]string{"ip", "netns", "exec", namespace, os.Args[0], "lab"}, args...)...)
}

func spawn(t testing.TB, argv ...string) *process {
	t.Helper()
	p := &process{command: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.command.Wait(); close(p.done) }()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(argv, " "), p.log.String())
		}
	})
	return p
}

func (p *process) end(signal syscall.Signal) {
	p.command.Process.Signal(signal)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		p.command.Process.Kill()
		<-p.done
	}
}

// in runs one of the lab's commands in a namespace and returns what it printed.
func in(namespace string, args ...string) (string, error) {
	return inFor(40*time.Second, namespace, args...)
}

func inFor(limit time.Duration, namespace string, args ...string) (string, error) {
	out, err := tryFor(limit, append([]string{"ip", "netns", "exec", namespace, os.Args[0], "lab"}, args...)...)
	return strings.TrimSpace(out), err
}

// introduce tells machines of each other: who announces what, as the API would.
func introduce(t testing.TB, machines []*machine, change ...func([]overlay.Node) []overlay.Node) {
	t.Helper()
	var list []overlay.Node
	for i, m := range machines {
		n := overlay.Node{UID: "uid-" + m.name, Name: m.name, Created: time.Unix(int64(i), 0), PodCIDRs: []string{m.subnet}}
		if data, err := os.ReadFile(filepath.Join(m.config.RunDir, "announcement.json")); err == nil {
			n.Announcement = strings.TrimSpace(string(data))
		}
		list = append(list, n)
	}
	for _, c := range change {
		list = c(list)
	}
	data, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range machines {
		m.write("nodes.json", data)
	}
}

func (m *machine) status() overlay.Status {
	var s overlay.Status
	if data, err := os.ReadFile(filepath.Join(m.config.RunDir, "status.json")); err == nil {
		json.Unmarshal(data, &s)
	}
	return s
}

// eventually waits for a condition, and says how long it took.
func eventually(t testing.TB, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	took := time.Since(start)
	t.Logf("%s: after %v", what, took.Round(time.Millisecond))
	return took
}
