package remove

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/journal"
	"provision/components/removal"
)

func TestNothingOfOursIsLeftAndAllOfTheirsIs(t *testing.T) {
	w := newWorld(t)
	w.node()
	report := w.remove()
	if len(report.Residue) > 0 || len(report.Kept) > 0 {
		t.Errorf("residue %v\nkept %v", report.Residue, report.Kept)
	}
	for _, path := range []string{
		"/run/provision", "/var/lib/kubelet", "/var/log/pods", "/var/lib/provision", "/opt/provision", "/etc/provision",
		"/sys/fs/cgroup/memory/kubepods", "/sys/fs/cgroup/systemd/provision.slice",
		"/etc/systemd/system/provision-kubelet.service", "/etc/systemd/system/provision.target.wants", "/var/lib/cni",
	} {
		if w.there(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, path := range []string{"/etc/hosts", "/etc/systemd/system", "/var/lib", "/sys/fs/cgroup/memory/system.slice"} {
		if !w.there(path) {
			t.Errorf("%s is gone", path)
		}
	}
	if len(w.active) > 0 || len(w.procs) != 1 || w.procs[7] == "" {
		t.Errorf("units %v, processes %v", w.active, w.procs)
	}
	if len(w.points) != 2 || len(w.tables) != 1 || w.tables[0].Name != "filter" || w.address || len(w.ports)+len(w.overlay) > 0 {
		t.Errorf("mounts %v, tables %v", w.points, w.tables)
	}
	again := w.remove()
	if len(again.Removed)+len(again.Residue)+len(again.Kept) > 0 {
		t.Errorf("the second time: %+v", again)
	}
}

func TestAnotherKubernetesIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.node()
	w.write("/var/lib/cni/results/podman-1b-eth0", "")
	w.write("/var/lib/cni/results/cni-loopback-1b-lo", "")
	for _, evidence := range removal.Inventory().Evidence {
		os.Remove(filepath.Join(w.root, evidence))
	}
	report := w.remove()
	if len(report.Residue) > 0 || len(report.Kept) != 2 {
		t.Errorf("residue %v\nkept %v", report.Residue, report.Kept)
	}
	if !w.there("/var/lib/kubelet/pods/1/etc-hosts") || !w.there("/var/log/pods/x/0.log") || w.procs[101] == "" {
		t.Error("its files or processes are gone")
	}
	if len(w.points) != 3 || len(w.tables) != 3 {
		t.Errorf("mounts %v, tables %v", w.points, w.tables)
	}
	if w.there("/etc/provision") || w.there("/var/lib/provision") || w.there("/var/lib/cni/results/provision-1a-eth0") {
		t.Error("ours are left")
	}
	if !w.there("/var/lib/cni/results/podman-1b-eth0") || !w.there("/var/lib/cni/results/cni-loopback-1b-lo") || w.there("/var/lib/cni/results/cni-loopback-1a-lo") {
		t.Error("another runtime's is gone")
	}
}

func TestABareMachineIsLeftAsItIs(t *testing.T) {
	w := newWorld(t)
	w.write("/etc/hosts", "theirs")
	if report := w.remove(); len(report.Removed)+len(report.Kept)+len(report.Residue) > 0 {
		t.Errorf("%+v", report)
	}
	if slices.Contains(w.called, "systemctl daemon-reload") || slices.Contains(w.called, "systemctl stop") {
		t.Errorf("called %v", w.called)
	}
}

// A run that was killed while it wrote a file leaves what it had written so far.
func TestUnfinishedFilesGo(t *testing.T) {
	w := newWorld(t)
	w.journal("1.json", file("/etc/theirs.d/ours.conf", "", true, "ours"))
	gone := []string{
		"/etc/systemd/system/.provision.ABCDEF234567", "/etc/sysctl.d/.provision.aB3dE6gH",
		"/etc/theirs.d/.provision.ABCDEF234567/new", "/etc/theirs.d/.provision.ABCDEF234567",
	}
	stay := []string{"/etc/sysctl.d/.provision.conf", "/etc/.provision.ABCDEF234567", "/etc/theirs.d/.provision.ABCDEF234568/more/new"}
	for _, path := range slices.Concat(gone[:3], stay) {
		w.write(path, "half")
	}
	report := w.remove()
	for _, path := range gone {
		if w.there(path) {
			t.Errorf("%s is left", path)
		}
	}
	for _, path := range stay {
		if !w.there(path) {
			t.Errorf("%s is gone", path)
		}
	}
	if len(report.Residue) != 2 { // the folder that is not as we make them, and what waits for it
		t.Errorf("residue %v", report.Residue)
	}
}

// A removal may go on after the program that asked for it was killed.
func TestRemovalsWaitForEachOther(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := lock(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	unlock()
	if unlock, err = lock(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	unlock()
	if unlock, err = lock(t.Context(), filepath.Join(dir, "none")); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestWhatCannotGoNowGoesNextTime(t *testing.T) {
	w := newWorld(t)
	w.node()
	busy, failing := filepath.Join(w.root, "/run/provision/containerd/rootfs"), filepath.Join(w.root, "/var/lib/kubelet/pods/1/volumes/x")
	w.busy[busy], w.failing[failing] = true, true
	report := w.remove()
	if len(report.Residue) != 2 || report.Residue[0].What != "mount /var/lib/kubelet/pods/1/volumes/x" {
		t.Errorf("residue %v", report.Residue)
	}
	for _, proof := range []string{"/etc/provision/kubelet.yaml", "/opt/provision/agent-0/agent", "/etc/systemd/system/provision-kubelet.service"} {
		if !w.there(proof) {
			t.Errorf("%s is gone before its time", proof)
		}
	}
	w.failing[failing] = false
	if report := w.remove(); len(report.Residue) > 0 {
		t.Errorf("residue %v", report.Residue)
	}
	if w.there("/etc/provision") || w.there("/var/lib/kubelet") {
		t.Error("something is left")
	}
}

func TestSettingsGoBackWhereTheyAreStillOurs(t *testing.T) {
	w := newWorld(t)
	sysctl := func(name, old, now string) journal.Entry {
		return journal.Entry{Kind: components.KindSysctl, Name: name, Old: old, Now: now}
	}
	w.journal("1.json",
		sysctl("net.ipv4.ip_forward", "0", "1"), sysctl("vm.panic_on_oom", "0", "1"), sysctl("net.ipv4.conf.eth0/1.rp_filter", "2", "0"),
		file("/etc/motd", "theirs", false, "ours"), file("/etc/changed", "theirs", false, "ours"),
		journal.Entry{Kind: components.KindDir, Name: "/etc/new.d", Absent: true}, file("/etc/new.d/file", "", true, "ours"),
		journal.Entry{Kind: components.KindDir, Name: "/etc/used.d", Absent: true}, file("/etc/used.d/file", "", true, "ours"),
		file("/etc/sysctl.d/90-provision.conf", "", true, "ours"), file("/etc/provision/kubelet.yaml", "theirs?", false, "ours"))
	w.journal("2.json", sysctl("net.ipv4.ip_forward", "1", "2"))
	w.write("/proc/sys/net/ipv4/ip_forward", "2\n")
	w.write("/proc/sys/vm/panic_on_oom", "7\n")
	w.write("/proc/sys/net/ipv4/conf/eth0.1/rp_filter", "0\n")
	w.write("/etc/motd", "ours")
	w.write("/etc/changed", "an admin's")
	w.write("/etc/new.d/file", "ours")
	w.write("/etc/used.d/file", "ours")
	w.write("/etc/used.d/other", "theirs")
	w.write("/etc/sysctl.d/90-provision.conf", "an admin's")
	w.write("/etc/provision/kubelet.yaml", "ours")
	report := w.remove()
	if len(report.Residue) > 0 {
		t.Errorf("residue %v", report.Residue)
	}
	for path, want := range map[string]string{
		"/proc/sys/net/ipv4/ip_forward":            "0",
		"/proc/sys/vm/panic_on_oom":                "7\n",
		"/proc/sys/net/ipv4/conf/eth0.1/rp_filter": "2",
		"/etc/motd":                         "theirs",
		"/etc/changed":                      "an admin's",
		"/etc/used.d/file":                  "none",
		"/etc/used.d/other":                 "theirs",
		"/etc/sysctl.d/90-provision.conf":   "an admin's",
		"/etc/provision/kubelet.yaml":       "none",
		"/var/lib/provision/journal/1.json": "none",
	} {
		if got := w.read(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if w.there("/etc/new.d") || !w.there("/etc/used.d") {
		t.Error("/etc/new.d is left, or /etc/used.d is gone")
	}
	if info, err := os.Stat(filepath.Join(w.root, "/etc/motd")); err != nil || info.Mode() != 0o640 {
		t.Errorf("/etc/motd: %v, %v", info.Mode(), err)
	}
	if len(report.Kept) != 3 {
		t.Errorf("kept %v", report.Kept)
	}
}

// Another runtime's containers have rules in the same table, by the same plugin.
func TestPortsOfOthersContainersStayOpen(t *testing.T) {
	for name, test := range map[string]struct {
		rules  []string
		tables int
	}{
		"ours alone":   {[]string{"1a"}, 1},
		"others' too":  {[]string{"1a", "1b"}, 2},
		"others' only": {[]string{"1b"}, 2},
		"nobody's":     {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.node()
			w.write("/etc/cni/net.d/theirs.conf", "")
			w.rules["cni_hostport"] = test.rules
			report := w.remove()
			if len(w.tables) != test.tables || len(report.Kept) != test.tables-1 || len(report.Residue) > 0 || slices.Contains(w.rules["cni_hostport"], "1a") {
				t.Errorf("tables %v, rules %v\nkept %v\nresidue %v", w.tables, w.rules, report.Kept, report.Residue)
			}
		})
	}
}

func TestWithoutAJournalTheInventoryDecides(t *testing.T) {
	w := newWorld(t)
	w.write(settings, "ours")
	w.write("/etc/sysctl.d/90-other.conf", "theirs")
	w.write("/var/lib/provision/journal/1.json", "{")
	report := w.remove()
	if w.there(settings) || !w.there("/etc/sysctl.d/90-other.conf") {
		t.Error("the wrong file is left")
	}
	if len(report.Residue) > 0 || len(report.Kept) != 1 || !strings.Contains(report.Kept[0].Why, "1.json") {
		t.Errorf("residue %v, kept %v", report.Residue, report.Kept)
	}
}

func TestAProcessThatDoesNotDieIsReported(t *testing.T) {
	w := newWorld(t)
	w.process(100, "/sys/fs/cgroup/systemd/provision.slice/provision-etcd.service")
	w.stuck[100] = true
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	r := &remover{list: removal.Inventory(), effects: effects{root: w.root, kill: w.kill}}
	r.killAll(ctx, []string{"provision.slice"})
	if len(r.report.Residue) != 1 || r.report.Residue[0].What != "process 100" {
		t.Errorf("residue %v", r.report.Residue)
	}
}

func TestOneHierarchyIsEnough(t *testing.T) {
	w := newWorld(t)
	w.write("/sys/fs/cgroup/cgroup.controllers", "cpu")
	w.process(100, "/sys/fs/cgroup/kubepods.slice/pod1")
	w.process(200, "/sys/fs/cgroup/machine.slice/kubepods.slice/pod1") // a container's own
	r := &remover{effects: effects{root: w.root, kill: w.kill}}
	r.killAll(context.Background(), []string{"kubepods.slice"})
	if w.procs[100] != "" || w.procs[200] == "" {
		t.Errorf("processes %v", w.procs)
	}
}

func TestOnlyOursIsTaken(t *testing.T) {
	for name, change := range map[string]func(*removal.List){
		"a unit":            func(l *removal.List) { l.Units = append(l.Units, "ssh.service") },
		"a pattern":         func(l *removal.List) { l.Units = append(l.Units, "provision-*.service") },
		"an option":         func(l *removal.List) { l.Units = append(l.Units, "--force") },
		"a folder":          func(l *removal.List) { l.Own.Dirs = append(l.Own.Dirs, "/var/lib") },
		"a step up":         func(l *removal.List) { l.Own.Dirs = append(l.Own.Dirs, "/opt/provision/../../etc") },
		"a neighbour":       func(l *removal.List) { l.Own.Dirs = append(l.Own.Dirs, "/opt/provisional") },
		"mounts":            func(l *removal.List) { l.Shared.Mounts = append(l.Shared.Mounts, "/") },
		"a group":           func(l *removal.List) { l.Own.Cgroups = append(l.Own.Cgroups, "system.slice") },
		"a group's path":    func(l *removal.List) { l.Own.Cgroups = append(l.Own.Cgroups, "provision/../system.slice") },
		"a file":            func(l *removal.List) { l.Own.Files = append(l.Own.Files, removal.File{Path: "/etc/passwd"}) },
		"a network":         func(l *removal.List) { l.Own.Networks = append(l.Own.Networks, "podman") },
		"a table of no one": func(l *removal.List) { l.Own.Tables = append(l.Own.Tables, removal.Table{Family: "x", Name: "y"}) },
		"no journal":        func(l *removal.List) { l.Journal = "" },
	} {
		t.Run(name, func(t *testing.T) {
			list := removal.Inventory()
			change(&list)
			text, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := decode(bytes.NewReader(text)); err == nil {
				t.Error("accepted")
			}
		})
	}
	text, _ := json.Marshal(removal.Inventory())
	if list, beyond, err := decode(bytes.NewReader(text)); err != nil || len(beyond) > 0 || !reflect.DeepEqual(list, removal.Inventory()) {
		t.Errorf("the inventory: %v, %v, %+v", err, beyond, list)
	}
}

// A newer provision's list: what this agent knows goes, what it does not stays,
// with the proof that a newer agent needs. A table under a condition that is
// unknown here may be somebody else's.
func TestAListOfANewerProvision(t *testing.T) {
	text, err := json.Marshal(removal.Inventory())
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.NewReplacer(
		`"units":`, `"timers":["provision-x.timer"],"units":`,
		`"own":{`, `"own":{"namespaces":["provision"],`,
		`{"family":"ip","name":"kube-proxy"}`, `{"family":"ip","name":"kube-proxy","only_if":"it is Tuesday"}`,
	).Replace(string(text))
	list, beyond, err := decode(strings.NewReader(newer))
	if err != nil {
		t.Fatal(err)
	}
	var what []string
	for _, b := range beyond {
		what = append(what, b.What)
	}
	if got := strings.Join(what, "; "); !strings.Contains(got, `"timers" of the list`) || !strings.Contains(got, `"namespaces" of own`) ||
		!strings.Contains(got, "table {Family:ip Name:kube-proxy") || len(what) != 3 {
		t.Errorf("beyond the agent: %s", got)
	}
	w := newWorld(t)
	w.node()
	report := w.removeList(list, beyond)
	if len(report.Residue) < 3 || !strings.Contains(report.Residue[0].Why, "newer bundle") {
		t.Errorf("residue %v", report.Residue)
	}
	if w.there("/var/lib/kubelet") || w.there("/var/log/pods") || len(w.active) > 0 {
		t.Error("what the agent knows is left")
	}
	if !w.there("/opt/provision/agent-0/agent") || !slices.Contains(w.tables, removal.Table{Family: "ip", Name: "kube-proxy"}) {
		t.Error("the next attempt's agent is gone, or the table that has a condition")
	}
	if again := w.remove(); len(again.Residue) > 0 || w.there("/opt/provision") {
		t.Errorf("the next attempt, by an agent that knows all: %v", again.Residue)
	}
}

func TestTheExitStatusSaysWhatIsLeft(t *testing.T) {
	var out bytes.Buffer
	if err := answer(&out, removal.Report{Removed: []string{"a"}}); err != nil || out.String() != `{"removed":["a"],"kept":[],"residue":[]}`+"\n" {
		t.Errorf("%s%v", &out, err)
	}
	err := answer(&out, removal.Report{Residue: []removal.Kept{{What: "mount /x", Why: "busy"}}})
	if err == nil || err.Error() != "remove: 1 things are left: mount /x: busy" {
		t.Error(err)
	}
}
