//go:build lab

package e2e

import (
	_ "embed"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/wiki.nft
var wikiFirewall string

// TestNeighbours: what else is on a machine is named before anything is changed,
// or lives on untouched.
func TestNeighbours(t *testing.T) {
	l := newLab(t, "--masters", "1", "--flavor", "docker")
	runContainer(l, "m1")
	for _, test := range []struct{ name, make, undo, want string }{
		{"k3s", "ln -s /bin/true /usr/local/bin/k3s", "rm /usr/local/bin/k3s", "k3s is installed"},
		{"kubeadm", "mkdir -p /etc/kubernetes && touch /etc/kubernetes/admin.conf", "rm -r /etc/kubernetes", "kubeadm has set this machine up"},
		{"a kubelet's folder", "mkdir -p /var/lib/kubelet/pods", "rm -r /var/lib/kubelet", "/var/lib/kubelet is not empty"},
		{"a pod network", "mkdir -p /etc/cni/net.d && touch /etc/cni/net.d/10-flannel.conflist", "rm -r /etc/cni/net.d", "/etc/cni/net.d/10-flannel.conflist"},
		{"a bridge of that name", "ip link add bridge0 type bridge", "ip link del bridge0", "a link named bridge0"},
		{"a tunnel of that name", "ip tuntap add wg0 mode tun", "ip link del wg0", "a link named wg0"},
	} {
		t.Run(test.name, func(t *testing.T) { refused(t, l, test.make, test.undo, test.want) })
	}
	if out := l.callWith(time.Minute, wikiFirewall, "bin/lab", "ssh", "m1", "--dir", l.dir, "--", "nft", "-f", "-"); out.code != 0 {
		t.Fatal(out.all())
	}
	const insert = "nft insert rule inet wiki "
	refused(t, l, "true", insert+"input iifname bridge0 accept", insert+"input iifname bridge0 accept")
	refused(t, l, "true", insert+"forward iifname bridge0 accept; "+insert+"forward oifname bridge0 accept", insert+"forward iifname bridge0 accept")
	// One that accepts by policy is seen by the agent, which reads its rules.
	refused(t, l, rejecting, "nft delete table inet strict", "chain way of table inet strict) that drops what pods send to each other; let them pass: nft insert rule inet strict way iifname bridge0 accept")
	before := l.look("m1")

	l.provision(0, "up", "--yes")
	l.provision(0, "verify")
	l.on("m1", "sh", "-c", rejecting+"; systemctl restart provision-overlay")
	eventually(t, "status names a firewall that came later", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "status", l.file)
		return strings.Contains(out.stdout, "a firewall (chain way of table inet strict) drops what pods send to each other"), out.all()
	})
	l.on("m1", "nft", "delete", "table", "inet", "strict")
	rules := l.on("m1", "iptables", "-S", "DOCKER-USER")
	if !strings.Contains(rules, "-A DOCKER-USER -i bridge0") || !strings.Contains(rules, "-A DOCKER-USER -o bridge0") {
		t.Errorf("docker's own tool reads its chain as\n%s", rules)
	}
	l.on("m1", "systemctl", "restart", "docker")
	eventually(t, "pods talk after docker's restart", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "verify", l.file)
		return out.code == 0, out.all()
	})
	t.Log(l.provision(0, "down", "--yes").all())
	// Docker's restart gave its container another cable; the rest is as it was.
	l.same("m1", before, "link veth", "address ", "route ", "process ", "cgroup ", "mount /run/docker/netns/")
	if got := l.on("m1", "docker", "exec", "pet", "/bin/echo", "alive"); got != "alive\n" {
		t.Errorf("docker's container says %q", got)
	}
}

// rejecting makes a firewall as iptables-services and firewalld write them.
const rejecting = "nft 'add table inet strict; add chain inet strict way { type filter hook forward priority 10; }; " +
	"add rule inet strict way iifname docker0 accept; add rule inet strict way oifname docker0 accept; add rule inet strict way reject with icmpx admin-prohibited'"

// refused wants up to say why, and to leave the machine alone.
func refused(t *testing.T, l *lab, make, undo, want string) {
	t.Helper()
	l.on("m1", "sh", "-c", make)
	out := l.provision(1, "up", "--yes")
	if !strings.Contains(out.stderr, want) {
		t.Errorf("no %q in\n%s", want, out.all())
	}
	t.Log(strings.TrimSpace(out.stderr))
	l.on("m1", "sh", "-c", undo+"; ! ls -d /opt/provision /etc/provision /var/lib/provision 2>/dev/null")
}
