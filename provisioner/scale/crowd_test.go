package scale

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"provision/components"
	"provision/components/bundle/bundletest"
	"provision/components/componentstest"
	"provision/provisioner/bundle"
	"provision/provisioner/config"
	"provision/provisioner/plan"
	"provision/provisioner/ssh/sshtest"
)

// crowd is simulated machines, and what an operator needs to speak to them.
type crowd struct {
	file    string // cluster.hcl
	bundles string // folder
	cluster components.Cluster
	site    *componentstest.Site
	link    *link
	api     *api
	locks   map[string]*lease
	walled  bool          // no machine reaches another
	pause   time.Duration // what each command on a machine takes

	unpacking atomic.Int32 // bundles that began to come
}

// link is the operator's side of all connections.
type link struct {
	mu         sync.Mutex
	open, most int
	up, down   int64 // bytes from and to the operator
	beside     int64 // and from machine to machine

	rate float64   // bytes a second from the operator; 0: as fast as can be
	free time.Time // when the link has carried what it was given
}

// take resets what was counted, and returns it.
func (l *link) take() (most int, up, down, beside int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most, up, down, beside = l.most, l.up, l.down, l.beside
	l.most, l.up, l.down, l.beside = l.open, 0, 0, 0
	return most, up, down, beside
}

// counted is a machine's end of a connection.
type counted struct {
	net.Conn
	link *link
	once sync.Once
}

func (l *link) accepted(conn net.Conn) net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
	l.most = max(l.most, l.open)
	return &counted{Conn: conn, link: l}
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	time.Sleep(c.link.carry(n))
	return n, err
}

// carry counts what the operator sent, and returns how long the link takes for it.
func (l *link) carry(n int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up += int64(n)
	if l.rate == 0 {
		return 0
	}
	now := time.Now()
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / l.rate * 1e9))
	return l.free.Sub(now)
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.down += int64(n)
	return n, err
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.link.mu.Lock()
		defer c.link.mu.Unlock()
		c.link.open--
	})
	return c.Conn.Close()
}

// newCrowd starts n machines, the first of which is the master, and writes their
// cluster file. The bundle holds about size bytes that do not compress.
func newCrowd(t testing.TB, n, size int) *crowd {
	t.Helper()
	enoughFiles(t, n)
	c := &crowd{bundles: t.TempDir(), link: &link{}, locks: map[string]*lease{}}
	data, _ := bundletest.Make(t, "1.36.3", contents(size))
	packed := filepath.Join(c.bundles, "bundle-1.36.3-linux-amd64.tar.zst")
	if err := os.WriteFile(packed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	names := []string{"m1"}
	for i := range n - 1 {
		names = append(names, fmt.Sprintf("w%d", i+1))
	}
	key := sshtest.NewKey(t)
	keyFile := sshtest.WriteKey(t, key)
	servers := make([]*sshtest.Server, n)
	for i, name := range names {
		servers[i] = sshtest.Start(t, sshtest.Options{
			Exec:     func(command *sshtest.Command) int { return c.exec(name, command) },
			SFTP:     func(stream io.ReadWriteCloser) { c.files(name, stream) },
			Dial:     func(string) (net.Conn, error) { return c.api.dial() },
			Accepted: c.link.accepted,
		})
		servers[i].Allow(key.PublicKey())
	}
	c.write(t, names, servers, keyFile)

	file, diags := config.Load(c.file, nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	opened, err := bundle.Open(packed)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	c.cluster = plan.Wanted(file, opened.Components(), "1.36.3")
	c.site = componentstest.NewSite(c.cluster)
	for _, m := range c.cluster.Machines {
		on := c.site.Machines[m.Name]
		on.Born.Addresses = []netip.Prefix{netip.PrefixFrom(m.Address, 16)}
		on.Born.MachineID = fmt.Sprintf("%032x", m.Address.As16())
		on.Born.ModulesKnown = true
		on.Loadable["wireguard"] = true
		c.locks[m.Name] = &lease{}
	}
	c.api = newAPI(t, c.site, c.cluster)
	return c
}

// write writes the cluster file.
func (c *crowd) write(t testing.TB, names []string, servers []*sshtest.Server, key string) {
	t.Helper()
	var text strings.Builder
	fmt.Fprint(&text, "cluster \"crowd\" {\n  network {\n    pods = \"10.128.0.0/12\"\n  }\n}\n")
	for i, name := range names {
		role := "worker"
		if i == 0 {
			role = "master"
		}
		s := servers[i]
		fmt.Fprintf(&text, "machine %q {\n  role = %q\n  address = \"172.20.%d.%d\"\n  ssh {\n    host = %q\n    port = %d\n    user = %q\n    key = %q\n    host_key = %q\n  }\n}\n",
			name, role, (i+1)/250, (i+1)%250+1, s.Host, s.Port, s.User, key, s.HostKey())
	}
	c.file = filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(c.file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// contents are a bundle's files; what they hold cannot be made smaller.
func contents(size int) map[string]string {
	random := rand.NewChaCha8([32]byte{})
	files := map[string]string{}
	for _, name := range []string{"pause", "coredns", "probe", "metrics-server", "local-path-provisioner", "volume"} {
		files["images/"+name+".tar"] = name
	}
	for _, name := range []string{"bin/agent", "bin/node", "bin/containerd", "bin/runc"} {
		text := make([]byte, size/4)
		random.Read(text)
		files[name] = string(text)
	}
	return files
}

// enoughFiles wants a descriptor for both ends of each connection, and a listener.
func enoughFiles(t testing.TB, machines int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := uint64(4*machines + 200); limit.Cur < need {
		t.Skipf("%d open files are allowed, and %d machines need %d: ulimit -n", limit.Cur, machines, need)
	}
}
