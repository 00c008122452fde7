//go:build lab

package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLab(t *testing.T) {
	ownStore(t)
	before := readSysctls()
	locks, _ := filepath.Glob("/run/systemd/nspawn/locks/*")
	lab := makeLab(t, Options{Masters: 1, Workers: 2})
	if len(traces(t, lab.ID)) == 0 {
		t.Fatal("a lab that stands leaves no trace: the test for traces cannot fail")
	}

	t.Run("a second up is refused", func(t *testing.T) {
		_, err := Up(t.Context(), Options{Dir: lab.Dir, Masters: 1})
		if err == nil || !strings.Contains(err.Error(), "lab down") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("machines are whole and different", lab.whole)
	t.Run("outside", lab.outside)
	t.Run("can run containers", lab.capable)
	t.Run("cut and join", lab.cutAndJoin)
	t.Run("power", lab.power)
	t.Run("last words", lab.lastPackets)

	begin := time.Now()
	if err := Down(lab.Dir); err != nil {
		t.Fatal(err)
	}
	t.Logf("down took %s", time.Since(begin))
	gone(t, lab)
	if err := Down(lab.Dir); err != nil {
		t.Error("a second down:", err)
	}
	after, _ := filepath.Glob("/run/systemd/nspawn/locks/*")
	if len(after) > len(locks) {
		t.Errorf("nspawn's locks before: %q, after: %q", locks, after)
	}
	if others, _ := os.ReadDir(filepath.Dir(lab.mark())); len(others) > 0 {
		t.Log("other labs stand on this host: its settings are theirs to restore")
		return
	}
	for name, value := range readSysctls() {
		if strings.HasPrefix(name, "vm/max_map_count") || strings.HasPrefix(name, "fs/inotify") {
			if before[name] != value {
				t.Errorf("%s is %s and was %s", name, value, before[name])
			}
		}
	}
}

func (l *Lab) whole(t *testing.T) {
	seen := map[string]string{}
	for _, m := range l.Machines {
		if got := l.must(t, m.Name, "hostname"); got != m.Name {
			t.Errorf("%s calls itself %s", m.Name, got)
		}
		if state := l.must(t, m.Name, "systemctl is-system-running --wait"); state != "running" {
			t.Errorf("%s is %s: %s", m.Name, state, l.must(t, m.Name, "systemctl --failed --no-legend"))
		}
		for _, what := range []string{"cat /etc/machine-id", "cat /proc/sys/kernel/random/boot_id", "cat /etc/ssh/ssh_host_ed25519_key.pub"} {
			value := l.must(t, m.Name, what)
			if other, twice := seen[value]; twice || value == "" {
				t.Errorf("%s: %q on %s and %s", what, value, m.Name, other)
			}
			seen[value] = m.Name
		}
		if links := l.must(t, m.Name, "ls /sys/class/net"); links != "eth0\nlo" {
			t.Errorf("%s has links %q", m.Name, links)
		}
	}
	text, err := os.ReadFile(filepath.Join(l.Dir, "cluster.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range l.Machines {
		if !strings.Contains(string(text), m.HostKey) || !strings.Contains(string(text), m.Address.String()) {
			t.Errorf("cluster.hcl does not hold %s's address and host key", m.Name)
		}
	}
	if info, err := os.Stat(l.Key()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
}

func (l *Lab) outside(t *testing.T) {
	m := l.Machines[0]
	page := fmt.Sprintf("exec 3<>/dev/tcp/%s/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3", OutsideName)
	got := l.must(t, m.Name, "bash -c "+remote([]string{"", page})[1])
	if want := "outside\n" + m.Address.String(); !strings.HasSuffix(got, want) {
		t.Errorf("http://%s says %q, want it to end in %q", OutsideName, got, want)
	}
	if got := l.must(t, m.Name, "getent ahostsv4 www."+OutsideName+" | head -1"); !strings.HasPrefix(got, outsideAddr.String()+" ") {
		t.Errorf("www.%s is %q", OutsideName, got)
	}
	if out, err := l.on(t, m.Name, "getent hosts example.org"); err == nil {
		t.Errorf("example.org is %q", out)
	}
	for _, addr := range []string{"192.0.2.1", "192.0.2.2", "198.51.100.1"} {
		if _, err := l.on(t, m.Name, "ping -c1 -W1 "+addr); err == nil {
			t.Errorf("%s answers: there is a way out", addr)
		}
	}
}

// capable tries what a container runtime, a kubelet and a mesh do to a machine.
func (l *Lab) capable(t *testing.T) {
	for _, line := range []string{
		"unshare -m -p -n -f --mount-proc sh -c 'mount -t tmpfs none /mnt'",
		"cd $(mktemp -d -p /var/lib) && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m && umount m",
		"ip netns add pod && ip link add name bridge0 type bridge && ip link add name veth0 type veth peer name eth0 netns pod && ip link set veth0 master bridge0 && echo 1 >/sys/class/net/veth0/brport/hairpin_mode && ip netns del pod && ip link del bridge0",
		"ip tuntap add wg0 mode tun && ip link del wg0",
		"sysctl -q -w net.ipv4.ip_forward=1 && sysctl -q -w vm.max_map_count=$(( $(sysctl -n vm.max_map_count) + 1 ))",
		"test \"$(findmnt -n -o PROPAGATION /)\" = shared",
		"test -b $(df --output=source / | tail -1) && test -c /dev/kmsg",
		"systemd-run --quiet --wait -p MemoryMax=64M -p TasksMax=32 true",
		"for d in memory cpu pids cpuset devices freezer; do g=/sys/fs/cgroup/$d; test -d $g || continue; mkdir $g/x && rmdir $g/x || exit 1; done",
		// Version 1 and version 2 name the limit differently.
		"cd /sys/fs/cgroup; test -d memory && cd memory; mkdir x; for f in x/memory.limit_in_bytes x/memory.max; do test -e $f && echo 64M >$f && rmdir x && exit; done; exit 1",
	} {
		if _, err := l.on(t, "w1", line); err != nil {
			t.Error(err)
		}
	}
}

func (l *Lab) cutAndJoin(t *testing.T) {
	reach := func(from, to string) bool {
		_, err := l.on(t, from, "ping -c1 -W1 "+to)
		return err == nil
	}
	if !reach("m1", "w1") || !reach("m1", "w2") {
		t.Fatal("m1 does not reach the workers before anything was cut")
	}
	if err := l.Cut("w1"); err != nil {
		t.Fatal(err)
	}
	if reach("m1", "w1") {
		t.Error("m1 reaches w1, which was cut off")
	}
	if !reach("m1", "w2") {
		t.Error("m1 lost w2 as well")
	}
	if err := l.Join("w1"); err != nil {
		t.Fatal(err)
	}
	// The halves: a line on m1, still running when both workers are off, tells.
	l.must(t, "w1", "sh -c '(sleep 1; ping -c1 -W1 w2 >/dev/null && echo yes >/root/w2; ping -c1 -W1 m1 >/dev/null && echo yes >/root/m1; cat /sys/class/net/eth0/carrier >/root/carrier) >/dev/null 2>&1 &'")
	if err := l.Cut("w1", "w2"); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if err := l.Join("w1", "w2"); err != nil {
		t.Fatal(err)
	}
	if got := l.must(t, "w1", "cd /root; cat w2; cat m1 2>/dev/null; cat carrier"); got != "yes\n1" {
		t.Errorf("w2 reached, m1 not, carrier kept: got %q", got)
	}
}
