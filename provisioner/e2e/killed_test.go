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

// killedUp kills `provision up` on machines with nothing on them, which it leaves so.
func (l *lab) killedUp() {
	kills, random := chance(l.t, 1)
	l.timed("down")
	takes := 40 * time.Second // a guess: one that is quicker tells
	for range kills {
		takes = l.killed("up", random, takes)
		// The dead run was this computer's own: nobody waits to see whether it lives.
		if out := l.provision(0, "up", "--yes"); strings.Contains(out.all(), "still alive") {
			l.t.Errorf("up waited for a lock that nobody holds:\n%s", out.all())
		}
		l.provision(0, "plan")
		l.timed("down")
		for m, was := range l.untouched {
			if after := l.traces(m); after != was {
				l.t.Fatalf("%s before up:\n%s\nafter down:\n%s", m, was, after)
			}
		}
	}
}

// killedDown kills `provision down`. The next one finishes, and the one after it has
// nothing to do. The machines have nothing on them before and after.
func (l *lab) killedDown() {
	kills, random := chance(l.t, 1)
	before := map[string][]string{}
	for m := range l.untouched {
		before[m] = l.look(m)
	}
	takes := 10 * time.Second // a guess: one that is quicker tells
	for range kills {
		l.timed("up")
		takes = l.killed("down", random, takes)
		l.timed("down")
		for m := range before {
			l.same(m, before[m], ofTheKernel...)
		}
		if out := l.provision(0, "down", "--yes"); !strings.Contains(out.stdout, "nothing of ours is on 3 machines") {
			l.t.Errorf("after that it said %s", out.all())
		}
	}
}

// killedLeaving kills up while it takes a worker out of the cluster. The next one must
// find what is left to do: nothing on the worker, nothing of it in the cluster.
func (l *lab) killedLeaving() {
	t := l.t
	kills, random := chance(t, 1)
	whole, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	l.forget("w2")
	less, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	takes := 30 * time.Second // a guess: one that is quicker tells
	for tries := 0; kills > 0; tries++ {
		if tries > 100 {
			t.Fatal("up was never killed")
		}
		l.rewrite(string(whole))
		l.timed("up")
		l.rewrite(string(less))
		cmd := exec.Command(filepath.Join(root, "bin", "provision"), "up", l.file, "--yes")
		cmd.Dir = root
		after := time.Duration(random.Float64() * float64(takes))
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(after, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if cmd.ProcessState.ExitCode() != -1 { // quicker than that, which does not count
			takes = time.Since(start)
			t.Logf("up ended by itself after %.2f s: %v", takes.Seconds(), err)
		} else {
			kills--
			t.Logf("up was killed after %.2f s: %v", after.Seconds(), err)
		}
		l.timed("up")
		l.left("w2", 2, l.untouched["w2"])
	}
}

// chance returns how often to kill, and the source of the moments.
func chance(t testing.TB, kills uint64) (int, *rand.Rand) {
	seed := cmp.Or(number(t, "PROVISION_SEED"), uint64(time.Now().UnixNano()))
	t.Logf("PROVISION_SEED=%d", seed)
	return int(cmp.Or(number(t, "PROVISION_KILLS"), kills)), rand.New(rand.NewPCG(seed, 0))
}

// timed runs up or down, which must succeed, and returns how long it took. Where
// machines of another lab, which share the kernel, took a setting of it back
// meanwhile, it is run again, as it says.
func (l *lab) timed(command string) time.Duration {
	l.t.Helper()
	for range 3 {
		start := time.Now()
		out := l.call(5*time.Minute, "bin/provision", command, l.file, "--yes")
		took := time.Since(start)
		l.t.Logf("provision %s: %.1f s", command, took.Seconds())
		if out.code == 0 {
			return took
		}
		if !strings.Contains(out.stderr, "set sysctl kernel.") || !strings.Contains(out.stderr, "did not last") {
			l.t.Fatalf("provision %s: exit status %d\n%s", command, out.code, out.all())
		}
	}
	l.t.Fatalf("provision %s: the kernel's settings never lasted", command)
	return 0
}

// killed starts up or down and kills it at a random moment of the time that it
// takes. One that was quicker than that does not count: back, and again. It returns
// how long it takes, as far as that is known by then.
func (l *lab) killed(command string, random *rand.Rand, takes time.Duration) time.Duration {
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
			return takes
		}
		l.t.Logf("%s ended by itself after %.2f s", command, time.Since(start).Seconds())
		takes = time.Since(start)
		l.timed(map[string]string{"up": "down", "down": "up"}[command])
	}
	l.t.Fatalf("%s was never killed", command)
	return 0
}

// number reads a number from the environment; 0 where there is none.
func number(t testing.TB, name string) uint64 {
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
