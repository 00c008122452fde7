//go:build lab

package facts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/overlay"
)

// blank is a machine with this one's programs and nothing else on it: a root of
// its own in memory, and a network without links, for as long as the script runs.
type blank struct {
	components.Machine
	root string
	make string // what a shell does there first, in the root
}

const moveIn = `set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"; cd "$1"; shift
mkdir -p usr proc sys dev run etc opt tmp var/lib
for link in bin sbin lib lib64; do [ -L /$link ] && ln -s usr/$link $link; done
mount --bind /usr usr; mount -t tmpfs tmpfs usr/local; mkdir usr/local/bin
[ -d /etc/alternatives ] && mkdir etc/alternatives && mount --bind /etc/alternatives etc/alternatives
mount --rbind /dev dev; mount --rbind /proc proc; mount -t sysfs sysfs sys
eval "$1"; shift
exec chroot . "$@"
`

func (b blank) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--net", "sh", "-c", moveIn, "sh", b.root, b.make}, argv...)...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	if failed, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	return out, err
}

func lookAt(t *testing.T, make string) components.Facts {
	t.Helper()
	f, err := Gather(t.Context(), blank{root: t.TempDir(), make: make}, Questions{Modules: []string{"tun"}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestWhatNeighboursLeaveIsFound has a line for each thing that must be named.
func TestWhatNeighboursLeaveIsFound(t *testing.T) {
	touch := func(file string) string { return fmt.Sprintf("mkdir -p $(dirname %s); touch %s", file, file) }
	for _, test := range []struct{ name, make, want string }{
		{"k3s", "ln -s /bin/true usr/local/bin/k3s", "k3s is installed (/usr/local/bin/k3s"},
		{"k3s elsewhere", "mkdir -p var/lib/rancher/k3s", "k3s is installed (/var/lib/rancher/k3s"},
		{"rke2", touch("etc/rancher/rke2/config.yaml"), "rke2 is installed"},
		{"microk8s", "mkdir -p var/snap/microk8s", "microk8s is installed"},
		{"k0s", "mkdir -p etc/k0s", "k0s is installed (/etc/k0s"},
		{"kubeadm", touch("etc/kubernetes/manifests/etcd.yaml"), "kubeadm has set this machine up"},
		{"kubeadm's worker", touch("etc/kubernetes/kubelet.conf"), "kubeadm has set this machine up"},
		{"a kubelet", `printf '#!/bin/sh\n[ "$*" = "is-active -q kubelet" ]\n' >usr/local/bin/systemctl; chmod 755 usr/local/bin/systemctl`, "a kubelet.service is running"},
		{"its folder", "mkdir -p var/lib/kubelet/pods", "/var/lib/kubelet is not empty"},
		{"a pod network", touch("etc/cni/net.d/10-flannel.conflist"), "/etc/cni/net.d/10-flannel.conflist"},
		{"bridge0", "ip link add bridge0 type bridge", "a link named bridge0 that is not ours"},
		{"wg0", "ip link add wg0 type dummy || ip link add wg0 type bridge", "a link named wg0 that is not ours"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := lookAt(t, test.make).Foreign
			if len(got) != 1 || !strings.Contains(got[0], test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestABlankMachineHasNoNeighbours holds what is harmless, and what is ours.
func TestABlankMachineHasNoNeighbours(t *testing.T) {
	f := lookAt(t, `mkdir -p etc/cni/net.d var/lib/kubelet/lost+found; touch etc/cni/net.d/87-podman-bridge.conflist
		ip link add bridge0 type bridge; ip link set bridge0 alias provision`)
	if len(f.Foreign)+len(f.Firewalls)+len(f.ReadOnly)+len(f.Traces) > 0 || f.NoExec || f.Systemd != 0 || f.OS.ID != "" {
		t.Errorf("got %+v", f)
	}
	if !slices.Contains(f.Control, "memory") {
		t.Errorf("this kernel's control groups are %q", f.Control)
	}
}

// TestOnlyOursAreOurs: a unit that is named like ours, and what is left of a disk
// that was given to a folder of ours.
func TestOnlyOursAreOurs(t *testing.T) {
	f := lookAt(t, `mkdir -p etc/systemd/system var/lib/provision/etcd
		touch etc/systemd/system/provision-foo.service etc/systemd/system/provision.conf
		mount -t tmpfs tmpfs var/lib/provision/etcd; mkdir var/lib/provision/etcd/lost+found`)
	if len(f.Units)+len(f.Files)+len(f.Traces) > 0 {
		t.Errorf("got units %v, files %v, traces %v", f.Units, f.Files, f.Traces)
	}
	if f = lookAt(t, `mkdir -p var/lib/provision/etcd; mount -t tmpfs tmpfs var/lib/provision/etcd; touch var/lib/provision/etcd/db`); len(f.Traces) != 1 {
		t.Errorf("traces %v", f.Traces)
	}
	if f = lookAt(t, `mkdir -p var/lib/provision/empty`); len(f.Traces) != 1 {
		t.Errorf("traces %v", f.Traces)
	}
}

func TestWhatAMachineIsIsRead(t *testing.T) {
	f := lookAt(t, `printf 'ID=alpine\nVERSION_ID=3.20\nPRETTY_NAME="Alpine Linux v3.20"\n' >etc/os-release
		mkdir -p run/systemd/system; printf '#!/bin/sh\n[ "$1" = --version ] && echo "systemd 257 (257.3-1)"\n' >usr/local/bin/systemctl
		printf '#!/bin/sh\n[ "$1" = -m ] && echo riscv64 || exec /usr/bin/uname "$@"\n' >usr/local/bin/uname; chmod 755 usr/local/bin/*
		mount -t tmpfs -o ro,noexec,size=64m tmpfs opt
		mount -t tmpfs tmpfs sys/fs/cgroup; echo cpuset cpu io pids >sys/fs/cgroup/cgroup.controllers
		mount -t tmpfs tmpfs sys/fs/selinux 2>/dev/null || mount -t tmpfs tmpfs sys/fs && mkdir -p sys/fs/selinux sys/fs/cgroup && echo 1 >sys/fs/selinux/enforce
		echo 0123456789abcdef0123456789abcdef >etc/machine-id
		ip link add eth0 type bridge; ip addr add 192.0.2.7/24 dev eth0`)
	if f.OS != (components.OS{ID: "alpine", VersionID: "3.20", Pretty: "Alpine Linux v3.20"}) || f.Arch != "riscv64" || f.Systemd != 257 {
		t.Errorf("%+v, %s, systemd %d", f.OS, f.Arch, f.Systemd)
	}
	if !f.NoExec || !slices.Equal(f.ReadOnly, []string{"/opt"}) || f.RootFree == 0 || f.RootFree > 64<<20 {
		t.Errorf("noexec %v, read-only %q, %d bytes below /opt", f.NoExec, f.ReadOnly, f.RootFree)
	}
	if f.MachineID != "0123456789abcdef0123456789abcdef" || len(f.Addresses) != 1 || f.Addresses[0].String() != "192.0.2.7/24" {
		t.Errorf("%s, %v", f.MachineID, f.Addresses)
	}
	if f.SELinux != "enforcing" {
		t.Errorf("SELinux is %q", f.SELinux)
	}
}

// TestFirewallsAreFound with the machine's own tools.
func TestFirewallsAreFound(t *testing.T) {
	f := lookAt(t, `nft -f - <<E
table inet mine {
	chain input {
		type filter hook input priority 0; policy drop;
		tcp dport 22 accept
	}
}
E
true`)
	if len(f.Firewalls) != 1 || f.Firewalls[0].Hook != "input" || f.Firewalls[0].Table != "mine" || !slices.Contains(f.Firewalls[0].Accepts, "tcp dport 22 accept") {
		t.Errorf("got %+v", f.Firewalls)
	}
}

// TestLegacyFirewallsAreFound, those that end in a rule for everything, too.
func TestLegacyFirewallsAreFound(t *testing.T) {
	if exec.Command("unshare", "--net", "iptables-legacy", "-S").Run() != nil {
		t.Skip("no iptables-legacy, or a kernel without it")
	}
	f := lookAt(t, "iptables-legacy -A FORWARD -i docker0 -j ACCEPT; iptables-legacy -A FORWARD -j REJECT; iptables-legacy -P INPUT DROP")
	if len(f.Firewalls) != 2 || f.Firewalls[0].Hook != "input" || f.Firewalls[1].Hook != "forward" || len(f.Firewalls[1].Accepts) != 1 {
		t.Errorf("got %+v", f.Firewalls)
	}
}

// TestThePresharedKeyIsHeard in the form in which the overlay's configuration names it.
func TestThePresharedKeyIsHeard(t *testing.T) {
	for file, want := range map[string]bool{"": false, components.PresharedKey: true} {
		config, err := json.MarshalIndent(overlay.Config{PresharedKeyFile: file}, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if f := lookAt(t, "mkdir -p etc/provision; cat >etc/provision/overlay.json <<'E'\n"+string(config)+"\nE\ntrue"); f.Preshared != want {
			t.Errorf("%q: preshared is %v", file, f.Preshared)
		}
	}
}

// TestTheYoungestAgentIsAsked: one of before an upgrade stays, and may not know all that is
// to be told, whatever its name.
func TestTheYoungestAgentIsAsked(t *testing.T) {
	for _, young := range []string{"one", "two"} {
		f := lookAt(t, `mkdir -p etc/provision/pki
for name in one two; do
  printf '#!/bin/sh\necho "{\\"%s\\":{}}"\n' "$name" >agent
  dir=opt/provision/agent-$(sha256sum <agent | cut -c 1-12); mkdir -p "$dir"; mv agent "$dir/agent"; chmod 755 "$dir/agent"
  [ "$name" = `+young+` ] || touch -d 2020-01-01 "$dir/agent"
done
true`)
		if _, asked := f.Certificates[young]; !asked || len(f.Agents) != 2 {
			t.Errorf("%s is the youngest of %v, and the certificates are %v", young, f.Agents, f.Certificates)
		}
	}
}

// TestWhatTheOverlaySaysIsHeard in the form in which its agent writes it.
func TestWhatTheOverlaySaysIsHeard(t *testing.T) {
	status, err := json.MarshalIndent(overlay.Status{Node: "w1", Problems: []string{"a firewall (chain x) drops \"it\", 1 < 2", "w2: refused,"}, Peers: []overlay.PeerStatus{{}}}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	f := lookAt(t, "mkdir -p run/provision/overlay; cat >run/provision/overlay/status.json <<'E'\n"+string(status)+"\nE\ntrue")
	if diff := cmp.Diff([]string{`a firewall (chain x) drops "it", 1 < 2`, "w2: refused,"}, f.Overlay); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if f := lookAt(t, `mkdir -p run/provision/overlay; printf '{\n  "problems": []\n}\n' >run/provision/overlay/status.json`); len(f.Overlay) > 0 {
		t.Errorf("got %q", f.Overlay)
	}
}
