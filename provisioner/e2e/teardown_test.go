//go:build lab

package e2e

import (
	_ "embed"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/busy.yaml
var busyPod string

//go:embed testdata/theirs.sh
var theirs string

// teardown is one lab that clusters are taken away from, again and again.
type teardown struct {
	*lab
	before map[string][]string // what machines were like, by their names
}

// misfortune is what happens to a machine before, or while, its cluster is taken away.
type misfortune struct {
	name, machine string
	make          string // what a shell does there while the cluster runs
	undo          string // and afterwards, with what its user had made there; it fails where that was harmed
}

// TestTeardown takes clusters away in every state in which people leave them, from
// machines that have things of their own, and compares each machine with what it
// was: nothing of ours is left, and all of theirs is.
func TestTeardown(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "2", "--flavor", "docker")
	d := &teardown{l, map[string][]string{}}
	for _, m := range d.machines() {
		if out := l.callWith(time.Minute, theirs, "bin/lab", "ssh", m, "--dir", l.dir, "--", "sh"); out.code != 0 {
			t.Fatalf("%s: %s", m, out.all())
		}
	}
	runContainer(l, "m1")
	runContainer(l, "w2")
	for _, m := range d.machines() {
		eventually(t, "docker's link has its address", func() (bool, string) {
			addresses := l.on(m, "ip", "-o", "addr")
			return strings.Contains(addresses, "docker0 "), addresses
		})
		d.before[m] = l.look(m)
	}
	for _, state := range []struct {
		name string
		test func(*testing.T, *teardown)
	}{
		{"while all is in use", goneWhenBusy},
		{"in its middle", goneInTheMiddle},
		{"without agent and journal", goneWithoutJournal},
		{"half made", goneWhenHalfMade},
	} {
		if !t.Run(state.name, func(t *testing.T) { state.test(t, &teardown{l.in(t), d.before}) }) {
			return
		}
	}
}

func (d *teardown) machines() []string { return []string{"m1", "w1", "w2"} }

// down takes the cluster away and returns what was said of each machine.
func (d *teardown) down(want int) string {
	d.t.Helper()
	said := d.provision(want, "down", "--yes").all()
	d.t.Log(said)
	return said
}

// gone wants a second down to find nothing, and every machine as it was after it.
func (d *teardown) gone() {
	d.t.Helper()
	if said := d.provision(0, "down", "--yes").all(); !strings.Contains(said, "nothing of ours is on 3 machines") {
		d.t.Errorf("the second time it said %s", said)
	}
	for _, m := range d.machines() {
		d.asBefore(m)
	}
}

// asBefore compares a machine with what it was, and asks what lives there.
func (d *teardown) asBefore(machine string) {
	d.t.Helper()
	d.same(machine, d.before[machine], ofTheKernel...)
	if machine == "w1" {
		return // it has none: what docker makes when it starts differs from what it has after that
	}
	if got := d.on(machine, "docker", "exec", "pet", "/bin/pet", "echo", "alive"); got != "alive\n" {
		d.t.Errorf("%s's container says %q", machine, got)
	}
}

// make has the misfortunes happen.
func (d *teardown) make(all []misfortune) {
	d.t.Helper()
	for _, m := range all {
		d.on(m.machine, "sh", "-c", m.make)
	}
}

// judge compares each machine that had bad luck with what it was.
func (d *teardown) judge(t *testing.T, all []misfortune) {
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			d := &teardown{d.lab.in(t), d.before}
			d.on(m.machine, "sh", "-c", m.undo)
			d.asBefore(m.machine)
		})
	}
}

// goneWhenBusy: on each machine something else is in the way.
func goneWhenBusy(t *testing.T, d *teardown) {
	d.timed("up")
	for _, m := range []string{"w1", "w2"} {
		d.apply(strings.NewReplacer("IMAGE", image(t, "probe"), "NODE", m).Replace(busyPod))
	}
	eventually(t, "the pods run", func() (bool, string) {
		pods := d.kubectl("get", "pods", "--no-headers")
		return strings.Count(pods, "1/2") == 2, pods
	})
	all := []misfortune{
		{
			// Pods hold on, mounts lie in mounts, a process of the user's sits in a pod's
			// folder, and containers of docker's see, and hold, all of it.
			name: "busy and nested mounts", machine: "w2",
			make: `set -e
				docker run -d --name watcher -v /:/host pet /bin/sleep 1000 >/dev/null
				docker run -d --name slave -v /:/host:ro,rslave pet /bin/sleep 1000 >/dev/null
				cd /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/disk
				mkdir nested && mount -t tmpfs none nested && mkdir nested/deeper && mount -t tmpfs none nested/deeper
				mkdir mine && mount --bind /srv/data mine
				for dir in /var/lib/kubelet /var/lib/provision /var/lib/provision/containerd /opt/provision '/var/lib/provision/an other'; do
					mkdir -p "$dir/mine" && mount --bind /srv/data "$dir/mine"
				done
				cd /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/memory && nohup sleep 1001 >/dev/null 2>&1 </dev/null &
				cd /var/lib/provision/mine && nohup sleep 1001 >/dev/null 2>&1 </dev/null &
				cd /var/lib/provision/containerd && nohup sleep 1001 >/dev/null 2>&1 </dev/null &
				docker exec watcher /bin/cat /proc/self/mountinfo | grep -q 'kubernetes.io~empty-dir/memory'`,
			undo: `set -e; [ "$(cat /srv/data/keep)" = mine ]
				[ "$(ps -eo args | grep -c '^sleep 1001$')" = 3 ]
				kill $(ps -eo pid,args | awk '$2 == "sleep" && $3 == 1001 {print $1}')
				docker exec watcher /bin/echo alive; docker rm -f watcher slave`,
		},
		{
			name: "a dead API and a broken etcd", machine: "m1",
			make: `systemctl kill --signal=SIGKILL provision-etcd provision-apiserver
				dd if=/dev/urandom of=/var/lib/provision/etcd/member/snap/db bs=64k count=16 conv=notrunc 2>/dev/null
				systemctl stop --no-block provision-apiserver`,
			undo: "true",
		},
		{
			// And what is configured of another's pod network, with the table that portmap shares.
			name: "a kubelet that fails again and again", machine: "w1",
			make: `set -e; echo '{' >/etc/provision/kubelet.yaml; systemctl kill --signal=SIGKILL provision-kubelet
				mkdir -p /etc/cni/net.d /opt/cni/bin; echo '{}' >/etc/cni/net.d/10-mine.conflist; echo mine >/opt/cni/bin/mine
				nft list table ip cni_hostport | grep -q 18080
				sleep 3; systemctl show -P NRestarts provision-kubelet | grep -v '^0$'`,
			undo: "set -e; [ $(cat /opt/cni/bin/mine) = mine ]; rm /etc/cni/net.d/10-mine.conflist /opt/cni/bin/mine; rmdir /opt/cni/bin /opt/cni",
		},
	}
	d.make(all)
	d.down(0)
	d.judge(t, all)
	d.gone()
}

// goneInTheMiddle: one machine's disk is full, one loses its power while it is
// cleaned, and on one lies what nobody may delete.
func goneInTheMiddle(t *testing.T, d *teardown) {
	d.on("m1", "sh", "-c", `mkdir /var/lib/provision && mount -t tmpfs -o size=700m none /var/lib/provision
		mkdir /var/lib/provision/etcd && mount -t tmpfs -o size=300m none /var/lib/provision/etcd`)
	d.timed("up")
	all := []misfortune{
		{
			name: "a full disk", machine: "m1",
			make: `for dir in /var/lib/provision /var/lib/provision/etcd; do dd if=/dev/zero of=$dir/full bs=4k 2>/dev/null; done
				! cp /bin/true /var/lib/provision/more 2>/dev/null`,
			undo: "umount /var/lib/provision/etcd && rmdir /var/lib/provision/etcd && umount /var/lib/provision && rmdir /var/lib/provision",
		},
		{
			// Whoever removes is held in its middle until the power is cut.
			name: "power that fails", machine: "w1",
			make: `cat >/root/hold <<'E'
while ! pid=$(pgrep -f '/agent remove$'); do :; done
sleep 0.1; kill -STOP $pid
E
				nohup sh /root/hold >/dev/null 2>&1 </dev/null &`,
			undo: "rm -f /root/hold",
		},
		{
			name: "what nobody may delete", machine: "w2",
			make: "mkdir -p /opt/provision/mine && mount -t tmpfs none /opt/provision/mine && echo precious >/opt/provision/mine/file",
			undo: "true",
		},
	}
	d.make(all)
	down := d.start("down", "--yes")
	eventually(t, "the removal stands still", func() (bool, string) {
		out := d.on("w1", "sh", "-c", "ps -eo stat,args | grep '/agent remove$' || true")
		return strings.HasPrefix(out, "T"), out + down.stdout.String()
	})
	d.lab.lab("kill", "w1")
	d.lab.lab("start", "w1")
	out := down.end(2 * time.Minute)
	t.Log(out.all())
	out.wants(t, 1, "/opt/provision/mine", "w1: workers: stop everything of ours and take it away: the connection to ")
	if got := d.on("w2", "cat", "/opt/provision/mine/file"); got != "precious\n" {
		t.Errorf("the file in the mount says %q", got)
	}
	d.on("w2", "umount", "/opt/provision/mine")
	d.down(0)
	// Docker was started there with settings of ours. Once more, and nothing of ours starts.
	d.lab.lab("kill", "w1")
	d.lab.lab("start", "w1")
	eventually(t, "w1 has booted", func() (bool, string) {
		out := d.call(time.Minute, "bin/lab", "ssh", "w1", "--dir", d.dir, "--", "systemctl", "is-system-running", "--wait")
		return strings.HasPrefix(out.stdout, "running") || strings.HasPrefix(out.stdout, "degraded"), out.all()
	})
	d.judge(t, all)
	d.gone()
}

// goneWithoutJournal: somebody tidied up by hand, and a unit fails for ever.
func goneWithoutJournal(t *testing.T, d *teardown) {
	d.timed("up")
	d.on("m1", "sh", "-c", "rm -rf /opt/provision/agent-* /var/lib/provision/journal; : >/etc/provision/kubelet.yaml; systemctl kill -s KILL provision-kubelet provision-overlay")
	time.Sleep(2 * time.Second)
	if !strings.Contains(d.down(0), "journal") {
		t.Error("nothing is said about the journal")
	}
	d.same("m1", d.before["m1"], "sysctl ") // which nobody knows any more
	after := d.look("m1")
	for _, line := range d.before["m1"] {
		if setting, is := strings.CutPrefix(line, "sysctl "); is && !strings.HasPrefix(setting, "kernel.") && !strings.HasPrefix(setting, "vm.") && !slices.Contains(after, line) {
			d.on("m1", "sysctl", "-qw", strings.Replace(setting, " = ", "=", 1))
		}
	}
	d.gone()
}

// goneWhenHalfMade: up is killed in the middle, more than once.
func goneWhenHalfMade(t *testing.T, d *teardown) {
	for _, moment := range []string{
		`"component":"bundle","action":"send the agent`, `"component":"bundle","action":"send and unpack`,
		`"component":"pki","action":"issue`, `"component":"units","action":"start etcd`, `"action":"start kubelet`,
	} {
		up := d.start("up", "--json")
		up.says(moment)
		up.signal(os.Kill)
		up.end(time.Minute)
		d.timed("down")
		for _, m := range d.machines() {
			d.asBefore(m)
		}
	}
	d.gone()
}
