package remove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/journal"
	"provision/components/removal"
)

// world is a machine below a temporary folder: real files, and a systemd,
// processes, mounts and a network made of memory, which behave.
type world struct {
	t       *testing.T
	root    string
	active  map[string]bool // units
	procs   map[int]string  // pid -> its group's folder; a negative group never dies
	stuck   map[int]bool
	points  []string
	busy    map[string]bool // mount points that only a lazy unmount takes
	failing map[string]bool // and those that nothing takes
	ports   []string
	overlay []string
	tables  []removal.Table
	rules   map[string][]string // of a table by its name: the containers that they name
	memory  map[string]bool     // mount points with a file system in memory
	address bool
	sticky  bool // units stay enabled, whatever systemd is told
	called  []string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, root: t.TempDir(), active: map[string]bool{}, procs: map[int]string{}, stuck: map[int]bool{},
		busy: map[string]bool{}, failing: map[string]bool{}, rules: map[string][]string{}, memory: map[string]bool{}}
}

func (w *world) write(path, text string) {
	w.t.Helper()
	path = filepath.Join(w.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(path string) string {
	text, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil {
		return "none"
	}
	return string(text)
}

func (w *world) there(path string) bool {
	_, err := os.Lstat(filepath.Join(w.root, path))
	return err == nil
}

// process puts a process into a control group.
func (w *world) process(pid int, group string) {
	w.procs[pid] = filepath.Join(w.root, group)
	w.listProcesses(w.procs[pid])
}

func (w *world) listProcesses(group string) {
	var text strings.Builder
	for pid, in := range w.procs {
		if in == group {
			fmt.Fprintln(&text, pid)
		}
	}
	if text.Len() == 0 { // a real group can be removed with its file, a folder cannot
		os.Remove(filepath.Join(group, "cgroup.procs"))
		return
	}
	if err := errors.Join(os.MkdirAll(group, 0o755), os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(text.String()), 0o644)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) kill(pid int) error {
	group, ok := w.procs[pid]
	if !ok {
		return unix.ESRCH
	}
	if !w.stuck[pid] {
		delete(w.procs, pid)
		w.listProcesses(group)
	}
	return nil
}

func (w *world) run(_ context.Context, argv ...string) ([]byte, error) {
	w.called = append(w.called, strings.Join(argv[:min(2, len(argv))], " "))
	switch argv[1] {
	case "show":
		var out strings.Builder
		for _, unit := range argv[3:] {
			state := "inactive"
			if w.active[unit] {
				state = "active"
			}
			fmt.Fprintf(&out, "Id=%s\nActiveState=%s\n\n", unit, state)
		}
		return []byte(out.String()), nil
	case "stop":
		for _, unit := range argv[3:] {
			if !strings.HasSuffix(unit, ".service") {
				delete(w.active, unit)
			}
		}
	case "kill":
		for _, unit := range argv[3:] {
			delete(w.active, unit)
		}
	case "disable":
		for _, unit := range argv[3:] {
			if !w.sticky {
				os.Remove(w.wants(unit))
			}
		}
	case "enable":
		for _, unit := range argv[3:] {
			w.enable(unit)
		}
	case "start":
		for _, unit := range argv[3:] {
			w.active[unit] = true
		}
	}
	return nil, nil
}

// wants is the link by which systemd starts a unit by itself.
func (w *world) wants(unit string) string {
	return filepath.Join(w.root, components.Units, "provision.target.wants", unit)
}

func (w *world) enable(unit string) {
	w.t.Helper()
	link := w.wants(unit)
	if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../"+unit, link)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mounts() ([]mount, error) {
	var all []mount
	for i, point := range w.points {
		m := mount{point: point, device: fmt.Sprintf("0:%d", i), kind: "ext4"}
		if w.memory[point] {
			m.kind = "tmpfs"
		}
		all = append(all, m)
	}
	return all, nil
}

func (w *world) unmount(path string, flags int) error {
	i := slices.Index(w.points, path)
	switch {
	case i < 0:
		return unix.EINVAL
	case w.failing[path]:
		return unix.EPERM
	case w.busy[path] && flags&unix.MNT_DETACH == 0:
		return unix.EBUSY
	}
	w.points = slices.Delete(w.points, i, i+1)
	return nil
}

func (w *world) deletePorts() ([]string, error) {
	defer func() { w.ports = nil }()
	return w.ports, nil
}

func (w *world) deleteOverlay() ([]string, error) {
	defer func() { w.overlay = nil }()
	return w.overlay, nil
}

func (w *world) deleteTable(table removal.Table) (bool, error) {
	i := slices.IndexFunc(w.tables, func(t removal.Table) bool { return t.Family == table.Family && t.Name == table.Name })
	if i < 0 {
		return false, nil
	}
	w.tables = slices.Delete(w.tables, i, i+1)
	return true, nil
}

func (w *world) deleteRules(table removal.Table, containers []string) (deleted []string, others int, err error) {
	if !slices.ContainsFunc(w.tables, func(t removal.Table) bool { return t.Family == table.Family && t.Name == table.Name }) {
		return nil, 0, nil
	}
	for _, container := range w.rules[table.Name] {
		if slices.Contains(containers, container) {
			deleted = append(deleted, container)
		}
	}
	w.rules[table.Name] = slices.DeleteFunc(w.rules[table.Name], func(c string) bool { return slices.Contains(containers, c) })
	return deleted, len(w.rules[table.Name]), nil
}

func (w *world) deleteAddress(removal.Address) (bool, error) {
	defer func() { w.address = false }()
	return w.address, nil
}

func (w *world) remove() removal.Report {
	w.t.Helper()
	return w.removeList(removal.Inventory(), nil)
}

func (w *world) removeList(list removal.List, beyond []removal.Kept) removal.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r := &remover{list: list, report: removal.Report{Residue: beyond}, effects: effects{
		root: w.root, self: components.Root + "/agent-0/agent", run: w.run, kill: w.kill, mounts: w.mounts, unmount: w.unmount, network: w,
	}}
	r.remove(ctx)
	return r.report
}

// node fills the machine with what a running node has.
func (w *world) node() {
	for _, unit := range removal.Inventory().Units {
		w.active[unit] = true
		w.write(components.Units+"/"+unit, "[Unit]")
	}
	w.enable("provision-kubelet.service")
	w.process(100, "/sys/fs/cgroup/systemd/provision.slice/provision-containerd.service")
	w.process(101, "/sys/fs/cgroup/memory/kubepods/burstable/pod1")
	w.process(101, "/sys/fs/cgroup/memory/kubepods/burstable/pod1")
	w.process(7, "/sys/fs/cgroup/memory/system.slice")
	for _, path := range []string{"/run/provision/containerd/rootfs", "/var/lib/kubelet/pods/1/volumes/x", "/home", "/var/lib/kubelet-of-another/x"} {
		w.points = append(w.points, filepath.Join(w.root, path))
	}
	w.write("/run/provision/containerd/socket", "")
	w.write("/var/lib/kubelet/pods/1/etc-hosts", "")
	w.write("/var/log/pods/x/0.log", "")
	w.write("/var/lib/provision/etcd/member/snap/db", "")
	w.write("/opt/provision/agent-0/agent", "")
	w.write("/etc/provision/kubelet.yaml", "")
	w.write("/etc/provision/pki/kubelet.key", "")
	w.write("/var/lib/cni/results/provision-1a-eth0", "")
	w.write("/var/lib/cni/results/cni-loopback-1a-lo", "")
	w.write("/etc/hosts", "theirs")
	w.ports, w.overlay, w.address = []string{"link veth1"}, []string{"link wg0", "link bridge0", "route 10.244.0.0/16"}, true
	w.tables = []removal.Table{{Family: "ip", Name: "kube-proxy"}, {Family: "inet", Name: "filter"}, {Family: "inet", Name: "provision-overlay"}, {Family: "ip", Name: "cni_hostport"}}
}

func (w *world) journal(name string, entries ...journal.Entry) {
	w.t.Helper()
	text, err := journal.Encode(journal.New(time.Unix(0, 0), entries...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.write(components.Journal+"/"+name, string(text))
}

func file(path, old string, absent bool, now string) journal.Entry {
	e := journal.Entry{Kind: components.KindFile, Name: path, Absent: absent, Mode: 0o640, Now: components.Sum([]byte(now))}
	if !absent {
		e.SetContent([]byte(old))
	}
	return e
}
