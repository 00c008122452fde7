//go:build lab

package e2e

import "strings"

// firewallBetween drops what the master answers at its
// API server's port, as a firewall does: nothing is installed, and the sentence
// says which port to open where.
func (l *lab) firewallBetween() {
	t := l.t
	rule := []string{"ip", "rule", "add", "ipproto", "tcp", "sport", "6443", "blackhole"}
	l.on("m1", rule...)
	out := l.provision(1, "up", "--yes")
	for _, want := range []string{"w1: cannot reach m1 at ", ":6443 (TCP): no answer comes", "open TCP 6443 on m1", "nothing was installed", "run the same command again when"} {
		if !strings.Contains(out.stderr, want) {
			t.Errorf("no %q in %s", want, out.stderr)
		}
	}
	for _, machine := range []string{"m1", "w1"} {
		if left := l.on(machine, "sh", "-c", "ls -d /opt/provision /etc/provision /var/lib/provision 2>/dev/null || true"); left != "" {
			t.Errorf("%s was left with %s", machine, left)
		}
	}
	l.on("m1", "ip", "rule", "del", "ipproto", "tcp", "sport", "6443", "blackhole")
	l.on("w1", "systemd-run", "--unit=squatter", "systemd-socket-activate", "-l", "10250", "cat")
	out = l.provision(1, "up", "--yes")
	if !strings.Contains(out.stderr, "w1: has ports taken that the cluster needs: TCP port 10250 by systemd-socket-") {
		t.Errorf("said %s", out.stderr)
	}
	l.on("w1", "systemctl", "stop", "squatter")
	l.provision(0, "up", "--yes")
}
