//go:build lab

package e2e

import "testing"

// TestThreeMasters tries on three masters and two workers what concerns a cluster whose
// API must not be away: how it came to be three, its certificates, its drills, the loss of
// two of them, machines that leave, and its end.
func TestThreeMasters(t *testing.T) {
	parts(t, []string{"--masters", "3", "--workers", "2"},
		part{name: "masters", blank: true, run: (*lab).masters},
		part{name: "certificates", run: (*lab).certificates},
		part{name: "drills", run: (*lab).drills},
		part{name: "recovery", run: (*lab).recovery},
		part{name: "leaving", run: (*lab).leaving})
}

// TestTwoWorkers tries on a master and two workers what becomes of pods and of their
// network while machines are away.
func TestTwoWorkers(t *testing.T) {
	parts(t, []string{"--masters", "1", "--workers", "2"},
		part{name: "fence", run: (*lab).fencing},
		part{name: "outage", run: (*lab).outage})
}

// TestOverlay tries the pod network of a master and a worker that have both families,
// reach each other over IPv4, and know no way out.
func TestOverlay(t *testing.T) {
	parts(t, []string{"--masters", "1", "--workers", "1", "--ip", "both", "--no-default-route"},
		part{name: "firewall between machines", blank: true, run: (*lab).firewallBetween},
		part{name: "no way out", run: (*lab).noWayOut},
		part{name: "keys", run: (*lab).overlayKeys},
		part{name: "encryption", run: (*lab).encryption})
}

// TestKilled kills `provision` without a warning at random moments of what changes a
// cluster of a master and two workers. The same command must then do what is left, at
// once: the lock of the dead keeps nobody waiting.
//
// PROVISION_KILLS is how often in each part; PROVISION_SEED repeats a run's moments.
func TestKilled(t *testing.T) {
	parts(t, []string{"--masters", "1", "--workers", "2"},
		part{name: "down", blank: true, run: (*lab).killedDown},
		part{name: "up", run: (*lab).killedUp},
		part{name: "leaving", run: (*lab).killedLeaving})
}
