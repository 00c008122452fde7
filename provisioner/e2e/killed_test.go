//go:build lab

package e2e

import (
	"cmp"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestKilled kills `provision` without a warning at random moments of up and of
// down, again and again on the same machines. The same command must then do what
// is left, at once: the lock of the dead keeps nobody waiting.
//
// PROVISION_KILLS is how often in each direction; PROVISION_SEED repeats a run's
// moments.
func TestKilled(t *testing.T) {
	ups, downs := 4, 3
	if n := number(t, "PROVISION_KILLS"); n > 0 {
		ups, downs = int(n), int(n)
	}
	seed := cmp.Or(number(t, "PROVISION_SEED"), uint64(time.Now().UnixNano()))
	t.Logf("PROVISION_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	l := newLab(t, "--masters", "1", "--workers", "1")
	machines := []string{"m1", "w1"}
	before := map[string]string{}
	for _, m := range machines {
		before[m] = l.traces(m)
	}
	// How long they take by themselves: the moments are spread over that.
	upTakes, downTakes := l.timed("up"), l.timed("down")
	for i := range max(ups, downs) {
		if i < ups {
			l.killed("up", random, upTakes)
		}
		// The dead run was this computer's own: nobody waits to see whether it lives.
		if out := l.provision(0, "up", "--yes"); strings.Contains(out.all(), "still alive") {
			t.Errorf("up waited for a lock that nobody holds:\n%s", out.all())
		}
		l.provision(0, "plan")
		if i < downs {
			l.killed("down", random, downTakes)
		}
		l.timed("down")
		for _, m := range machines {
			if after := l.traces(m); after != before[m] {
				t.Fatalf("%s before up:\n%s\nafter down:\n%s", m, before[m], after)
			}
		}
	}
}

// TestKilledLeaving kills up while it takes a worker out of the cluster. The next one
// must find what is left to do: nothing on the worker, nothing of it in the cluster.
func TestKilledLeaving(t *testing.T) {
	kills := int(cmp.Or(number(t, "PROVISION_KILLS"), 2))
	seed := cmp.Or(number(t, "PROVISION_SEED"), uint64(time.Now().UnixNano()))
	t.Logf("PROVISION_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t, "--masters", "1", "--workers", "2")
	before := l.traces("w2")
	l.timed("up")
	whole, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	l.forget("w2")
	less, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	takes := l.timed("up")
	for range kills {
		l.rewrite(string(whole))
		l.timed("up")
		l.rewrite(string(less))
		cmd := exec.Command(filepath.Join(root, "bin", "provision"), "up", l.file, "--yes")
		cmd.Dir = root
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(random.Float64() * float64(takes))
		kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		t.Logf("to be killed after %.2f s: %v", after.Seconds(), err)
		l.timed("up")
		l.left(t, "w2", 2, before)
	}
}

// timed runs up or down, which must succeed, and returns how long it took.
func (l *lab) timed(command string) time.Duration {
	l.t.Helper()
	start := time.Now()
	l.provision(0, command, "--yes")
	return time.Since(start)
}

// killed starts up or down and kills it at a random moment of the time that it
// takes. One that was quicker than that does not count: back, and again.
func (l *lab) killed(command string, random *rand.Rand, takes time.Duration) {
	l.t.Helper()
	for range 10 {
		after := time.Duration(random.Float64() * float64(takes))
		cmd := exec.Command(filepath.Join(root, "bin", "provision"), command, l.file, "--yes")
		cmd.Dir = root
		if err := cmd.Start(); err != nil {
			l.t.Fatal(err)
		}
		start := time.Now()
		kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if err != nil && cmd.ProcessState.ExitCode() == -1 { // by a signal
			l.t.Logf("%s was killed after %.2f s", command, after.Seconds())
			return
		}
		l.t.Logf("%s ended by itself after %.2f s", command, time.Since(start).Seconds())
		takes = time.Since(start)
		l.timed(map[string]string{"up": "down", "down": "up"}[command])
	}
	l.t.Fatalf("%s was never killed", command)
}

// number reads a number from the environment; 0 where there is none.
func number(t *testing.T, name string) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
