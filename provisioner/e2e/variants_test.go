//go:build lab

package e2e

import (
	"testing"

	"provision/provisioner/verify"
)

// TestNoDefaultRoute brings up machines that know no way out.
func TestNoDefaultRoute(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--no-default-route")
	l.provision(0, "up", "--yes")
	l.wantOutside(verify.NotChecked, map[string]string{"dns outside": "no way out: ", "outside": "no way out: "})
}

// TestSudoUser brings up machines whose only login is no root.
func TestSudoUser(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--user")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	// Their file names no server outside, and they have a way there.
	l.wantOutside(verify.OK, map[string]string{"dns outside": "udp: ", "outside": "resolver 203.0.113.10, over UDP and TCP"})
	l.provision(0, "down", "--yes")
}
