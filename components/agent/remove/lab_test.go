//go:build lab

package remove

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/components/removal"
	"provision/overlay"
	"provision/overlay/host"
)

// inside marks the test process that runs in namespaces of its own.
const inside = "PROVISION_REMOVE_INSIDE"

// TestInNamespacesOfItsOwn runs the tests named Inside with mounts and a network
// that end with the process, whatever happens to it.
func TestInNamespacesOfItsOwn(t *testing.T) {
	if os.Getenv(inside) != "" {
		t.Skip("inside already")
	}
	command := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--propagation", "private",
		os.Args[0], "-test.run", "^TestInside", "-test.v", "-test.timeout", "60s")
	command.Env = append(os.Environ(), inside+"=1")
	out, err := command.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestInside")) {
		t.Fatalf("inside: %v", err)
	}
}

func needInside(t *testing.T) {
	if os.Getenv(inside) == "" {
		t.Skip("runs in namespaces of its own, through TestInNamespacesOfItsOwn")
	}
}

// fixture is a root with real mounts.
type fixture struct {
	*testing.T
	root string
}

func (f fixture) dir(path string) string {
	f.Helper()
	path = filepath.Join(f.root, path)
	f.must(os.MkdirAll(path, 0o755))
	return path
}

func (f fixture) file(path string) {
	f.Helper()
	f.dir(filepath.Dir(path))
	f.must(os.WriteFile(filepath.Join(f.root, path), []byte("x"), 0o644))
}

func (f fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f fixture) tmpfs(path string) {
	f.Helper()
	f.must(unix.Mount("tmpfs", f.dir(path), "tmpfs", 0, "size=1m"))
}

func (f fixture) bind(from, to string) {
	f.Helper()
	f.must(unix.Mount(from, f.dir(to), "", unix.MS_BIND, ""))
}

func (f fixture) there(path string) bool {
	_, err := os.Lstat(filepath.Join(f.root, path))
	return err == nil
}

// agent runs the command as the provisioner does.
func (f fixture) agent() (removal.Report, error) {
	f.Helper()
	list, err := json.Marshal(removal.Inventory())
	f.must(err)
	command := NewCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	command.SetArgs([]string{"--root", f.root, "--timeout", "20s"})
	command.SetIn(bytes.NewReader(list))
	var out bytes.Buffer
	command.SetOut(&out)
	failed := command.ExecuteContext(f.Context())
	var report removal.Report
	f.must(json.Unmarshal(out.Bytes(), &report))
	return report, failed
}

func TestInsideMounts(t *testing.T) {
	needInside(t)
	f := fixture{t, t.TempDir()}
	f.file("etc/provision/kubelet.yaml")
	// What kubelet and containerd leave: a tmpfs, a volume of the host's bound
	// into a pod, a mount on a mount, one with a space, one that is busy.
	precious := t.TempDir()
	f.must(os.WriteFile(filepath.Join(precious, "data"), []byte("x"), 0o600))
	f.tmpfs("var/lib/kubelet/pods/1/volumes/token")
	f.bind(precious, "var/lib/kubelet/pods/1/volumes/host path")
	f.tmpfs("run/provision/containerd/rootfs")
	f.tmpfs("run/provision/containerd/rootfs/dev")
	f.tmpfs("run/provision/containerd/busy")
	busy, err := os.Create(filepath.Join(f.root, "run/provision/containerd/busy/open"))
	f.must(err)
	defer busy.Close()
	// An admin's: a disk for etcd, and one for containerd, and something of his own.
	f.tmpfs("var/lib/provision/etcd")
	f.file("var/lib/provision/etcd/member/db")
	disk := t.TempDir()
	f.bind(disk, "var/lib/provision/containerd")
	f.file("var/lib/provision/containerd/blob")
	f.bind(precious, "var/lib/provision/backup/of mine")
	f.tmpfs("var/lib/provision/empty")
	f.tmpfs("opt/provision/mine")
	f.file("opt/provision/mine/only/here")
	for _, path := range []string{"var/lib/provision/etcd", "var/lib/provision/containerd"} {
		defer unix.Unmount(filepath.Join(f.root, path), unix.MNT_DETACH)
	}

	report, err := f.agent()
	if err == nil || !slices.ContainsFunc(report.Residue, func(k removal.Kept) bool { return strings.Contains(k.Why, "mine: "+errMount.Error()) }) {
		t.Errorf("error %v, residue %+v", err, report.Residue)
	}
	if !f.there("opt/provision/mine/only/here") {
		t.Error("what lay in memory is lost")
	}
	f.must(unix.Unmount(filepath.Join(f.root, "opt/provision/mine"), 0))
	if report, err = f.agent(); err != nil || len(report.Kept) != 2 {
		t.Errorf("error %v, report %+v", err, report)
	}
	if _, err := os.Stat(filepath.Join(precious, "data")); err != nil {
		t.Fatalf("what was only mounted was deleted: %v", err)
	}
	for _, path := range []string{"var/lib/kubelet", "run/provision", "var/lib/provision/etcd/member", "var/lib/provision/containerd/blob", "var/lib/provision/backup", "opt/provision"} {
		if f.there(path) {
			t.Errorf("%s is left", path)
		}
	}
	if !f.there("var/lib/provision/etcd") || !f.there("var/lib/provision/containerd") {
		t.Error("the disks' mount points are gone")
	}
}

func TestInsideNetwork(t *testing.T) {
	needInside(t)
	f := fixture{t, t.TempDir()}
	f.file("etc/provision/kubelet.yaml")
	lo, err := netlink.LinkByName("lo")
	f.must(err)
	f.must(netlink.LinkSetUp(lo))
	f.must(netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 0, 11), Mask: net.CIDRMask(32, 32)}}))
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: overlay.Bridge}}
	f.must(netlink.LinkAdd(bridge))
	f.must(netlink.LinkSetAlias(bridge, host.Alias))
	veth := func(name string, master netlink.Link) {
		link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "p"}
		f.must(netlink.LinkAdd(link))
		if master != nil {
			f.must(netlink.LinkSetMaster(link, master))
		}
	}
	veth("vethpod", bridge)
	veth("vethother", nil)
	stranger := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: overlay.Tunnel}} // a user's own wg0
	f.must(netlink.LinkAdd(stranger))
	conn, err := nftables.New()
	f.must(err)
	for _, table := range []*nftables.Table{
		{Family: nftables.TableFamilyINet, Name: "provision-overlay"}, {Family: nftables.TableFamilyIPv4, Name: "kube-proxy"},
		{Family: nftables.TableFamilyIPv4, Name: "provision-overlay"}, {Family: nftables.TableFamilyINet, Name: "filter"},
	} {
		conn.AddTable(table)
	}
	shared := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "cni_hostport"})
	chain := conn.AddChain(&nftables.Chain{Table: shared, Name: "hostports"})
	for _, container := range []string{"1a", "1b", ""} {
		rule := &nftables.Rule{Table: shared, Chain: chain, Exprs: []expr.Any{&expr.Counter{}}}
		if container != "" {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, container)
		}
		conn.AddRule(rule)
	}
	f.must(conn.Flush())
	f.file("var/lib/cni/results/provision-1a-eth0")
	f.file("etc/cni/net.d/theirs.conf")

	for round := range 2 {
		report, err := f.agent()
		if err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		if round == 1 && len(report.Removed) > 0 {
			t.Errorf("the second time: %v", report.Removed)
		}
	}
	links, err := netlink.LinkList()
	f.must(err)
	var names []string
	for _, link := range links {
		names = append(names, link.Attrs().Name)
	}
	for name, want := range map[string]bool{overlay.Bridge: false, "vethpod": false, "vethpodp": false, "vethother": true, overlay.Tunnel: true} {
		if slices.Contains(names, name) != want {
			t.Errorf("%s: there is %v", name, names)
		}
	}
	tables, err := conn.ListTables()
	f.must(err)
	if len(tables) != 3 {
		t.Errorf("%d tables are left", len(tables))
	}
	if rules, err := conn.GetRules(shared, chain); err != nil || len(rules) != 2 {
		t.Errorf("%d rules are left for others' containers and for nobody's, %v", len(rules), err)
	}
	addresses, err := netlink.AddrList(lo, netlink.FAMILY_V4)
	f.must(err)
	if len(addresses) != 1 {
		t.Errorf("addresses %v", addresses)
	}
}

// A real process in a real control group, below this test's own group, so that
// it works where groups are delegated.
func TestInsideProcesses(t *testing.T) {
	needInside(t)
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	defer child.Process.Kill()
	// The pids hierarchy of v1, or the one of v2, seen through a folder of ours.
	root := t.TempDir()
	hierarchy, own := "/sys/fs/cgroup/pids", ""
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		hierarchy = "/sys/fs/cgroup"
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); parts[1] == "pids" || parts[1] == "" && own == "" {
			own = parts[2]
		}
	}
	base := filepath.Join(hierarchy, own, "provision-remove-lab")
	if err := os.Mkdir(base, 0o755); err != nil {
		t.Fatal(err)
	}
	defer unix.Rmdir(base)
	group := filepath.Join(base, "kubepods")
	for _, dir := range []string{group, filepath.Join(group, "pod1")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		defer unix.Rmdir(dir)
	}
	if err := put(filepath.Join(group, "pod1", "cgroup.procs"), strconv.Itoa(child.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(root, "sys/fs/cgroup/pids")
	if err := os.MkdirAll(seen, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(base, seen, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	r := &remover{effects: effects{root: root, kill: func(pid int) error { return unix.Kill(pid, unix.SIGKILL) }}}
	r.killAll(t.Context(), []string{"kubepods"})
	r.removeCgroups([]string{"kubepods"})
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("the process lives")
	}
	if _, err := os.Stat(group); err == nil || len(r.report.Residue) > 0 {
		t.Errorf("left: %+v", r.report)
	}
	unix.Unmount(seen, 0)
}
