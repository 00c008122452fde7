//go:build lab

package e2e

import "testing"

// TestNoDefaultRoute brings up machines that know no way out.
func TestNoDefaultRoute(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--no-default-route")
	l.provision(0, "up", "--yes")
	l.provision(0, "verify")
}

// TestSudoUser brings up machines whose only login is no root.
func TestSudoUser(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--user")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.provision(0, "down", "--yes")
}
