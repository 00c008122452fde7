//go:build lab

package e2e

import (
	"strings"
	"testing"

	"provision/provisioner/verify"
)

// noWayOut: the machines of the lab know none, and verify says so and does not fail.
func (l *lab) noWayOut() {
	l.wantOutside(verify.NotChecked, map[string]string{"dns outside": "no way out: ", "outside": "no way out: "})
}

// TestSudoUserBehindBastion brings up machines whose only login is no root, and which are
// reached only through another.
func TestSudoUserBehindBastion(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--user", "--bastion")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	if nodes := l.kubectl("get", "nodes", "--no-headers"); !strings.Contains(nodes, "m1 ") || strings.Contains(nodes, "bastion") {
		t.Errorf("the nodes are\n%s", nodes)
	}
	// Their file names no server outside, and they have a way there.
	l.wantOutside(verify.OK, map[string]string{"dns outside": "udp: ", "outside": "resolver 203.0.113.10, over UDP and TCP"})
	l.provision(0, "down", "--yes")
	if left := l.on("bastion", "sh", "-c", "ls -d /opt/provision /etc/provision /var/lib/provision 2>/dev/null; true"); left != "" {
		t.Errorf("on the bastion there is %s", left)
	}
}
