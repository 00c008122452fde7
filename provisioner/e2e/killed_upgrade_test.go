//go:build lab

package e2e

import (
	"cmp"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// TestKilledUpgrade kills `provision` without a warning again and again in the middle of
// one upgrade, which the last run brings to its end: every machine is of the new version,
// takes pods, and nothing is left to do. The time that a run has at the most grows by an
// eighth from one to the next, so that one gets somewhere on a slow machine too.
// PROVISION_KILLS is how many kills there are at least, over as many upgrades as that
// takes; PROVISION_SEED repeats a run's moments.
func TestKilledUpgrade(t *testing.T) {
	wanted := cmp.Or(number(t, "PROVISION_KILLS"), 2)
	seed := cmp.Or(number(t, "PROVISION_SEED"), uint64(time.Now().UnixNano()))
	t.Logf("PROVISION_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t, "--masters", "1", "--workers", "2")
	l.provision(0, "up", "--yes", "--var", "version="+older)
	l.write("before")
	for kills := uint64(0); kills < wanted; {
		for most := 12 * time.Second; ; most += most / 8 {
			s := l.start("upgrade", "--to", "1.36.3", "--yes")
			after := 500*time.Millisecond + time.Duration(random.Int64N(int64(most)))
			select {
			case <-s.ended:
			case <-time.After(after):
				s.cmd.Process.Kill()
				<-s.ended
			}
			if !s.cmd.ProcessState.Exited() {
				kills++
				t.Logf("kill %d, after %.1f s", kills, after.Seconds())
				continue
			}
			if code := s.cmd.ProcessState.ExitCode(); code != 0 {
				t.Fatalf("exit status %d\n%s%s", code, s.stdout.String(), s.stderr.String())
			}
			break
		}
		nodes := l.kubectl("get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.name}{.status.nodeInfo.kubeletVersion}{.spec.unschedulable} {end}")
		if nodes != "m1v1.36.3 w1v1.36.3 w2v1.36.3 " {
			t.Errorf("nodes: %s", nodes)
		}
		for _, m := range []string{"m1", "w1", "w2"} {
			if left := l.on(m, "sh", "-c", "cd /var/lib/provision/stamps && ls previous.json emulate 2>/dev/null || true"); left != "" {
				t.Errorf("%s: left of the upgrade: %s", m, left)
			}
		}
		l.kept("an upgrade that was killed")
		if out := l.call(time.Minute, "bin/provision", "plan", l.file); out.code != 0 && !strings.Contains(out.stdout, "set sysctl kernel.panic") {
			t.Errorf("there is more to do: %s", out.all())
		}
		if kills < wanted {
			l.provision(0, "upgrade", "--rollback", "--yes") // from the beginning
		}
	}
	if os.Getenv("PROVISION_KILLS") == "" {
		return
	}
	l.provision(0, "verify")
}
