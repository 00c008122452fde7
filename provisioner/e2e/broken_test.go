//go:build lab

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBrokenOff ends or disturbs `up` in every way that its user may live to see,
// pins what is said, and has `up` go on from there. The first parts are about one
// master, in the order of a story; the workers come in the end, all at once.
func TestBrokenOff(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "4")
	whole := l.file
	l.file = l.without("w1", "w2", "w3", "w4")
	for _, part := range []struct {
		name string
		test func(*testing.T, *lab)
	}{
		{"Ctrl-C", stopped},
		{"Ctrl-C twice", stoppedAtOnce},
		{"two at once", twoAtOnce},
		{"the master's power", masterLost},
		{"workers", func(t *testing.T, l *lab) { l.file = whole; workersLost(t, l) }},
	} {
		if !t.Run(part.name, func(t *testing.T) {
			parent := l.t
			l.t = t
			defer func() { l.t = parent }()
			part.test(t, l)
		}) {
			return
		}
	}
}

// without writes the lab's file once more, without some machines.
func (l *lab) without(machines ...string) string {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range machines {
		block := regexp.MustCompile(`(?ms)^machine "` + m + `" \{.*?^\}\n`)
		if !block.Match(text) {
			l.t.Fatalf("no machine %s in %s", m, text)
		}
		text = block.ReplaceAll(text, nil)
	}
	name := filepath.Join(l.dir, "part.hcl")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		l.t.Fatal(err)
	}
	return name
}

// moments is how often a moment that was missed is waited for again, on a way that
// is slower each time.
const moments = 3

// uploading starts `up` and returns while the bundle goes to a machine.
func (l *lab) uploading(machine string) *started {
	l.t.Helper()
	for try := range moments {
		l.noBundle(machine)
		l.slow(200 >> try)
		up := l.start("up", "--yes")
		err := l.midway(machine)
		if err == nil {
			return up
		}
		l.t.Log(err)
		up.signal(os.Interrupt)
		up.end(time.Minute)
	}
	l.t.Fatal("the upload was always quicker than the test")
	return nil
}

const (
	stopping = "stopping after the actions at hand; once more ends at once\n"
	goOn     = "changes made; run the same command to go on\n"
)

func stopped(t *testing.T, l *lab) {
	up := l.uploading("m1")
	up.signal(os.Interrupt)
	out := up.end(15 * time.Second)
	l.slow(0)
	out.wants(t, 130, stopping, "\nstopped after ", goOn, "\nerror: stopped in machines: interrupt signal received\n")
	l.provision(0, "unlock").wants(t, 0, "nobody holds the lock\n")
}

// stoppedAtOnce: what a machine that no longer answers is doing cannot be ended
// quickly. The lock that is left is a dead run's.
func stoppedAtOnce(t *testing.T, l *lab) {
	up := l.uploading("m1")
	l.lab("cut", "m1")
	up.signal(os.Interrupt)
	up.says(stopping)
	select {
	case <-up.ended:
		t.Error("the first Ctrl-C did not wait for anything")
	case <-time.After(time.Second):
	}
	up.signal(os.Interrupt)
	up.end(time.Second).wants(t, 130, stopping)
	l.lab("join", "m1")
	l.slow(0)
	l.provision(0, "unlock", "--yes").wants(t, 0, "MASTER  HELD BY ", "the lock is broken\n")
	l.provision(0, "unlock").wants(t, 0, "nobody holds the lock\n")
}

// twoAtOnce: the first hangs, as on a laptop whose lid was closed.
func twoAtOnce(t *testing.T, l *lab) {
	up := l.uploading("m1")
	up.signal(syscall.SIGSTOP)
	l.slow(0)
	refused := l.provision(1, "up", "--yes")
	refused.wants(t, 1, "\nerror: lock: m1: the cluster is being changed by ", ", process ", " (up); run again when that has ended, or break its lock with 'provision unlock'\n")
	owner := regexp.MustCompile(`changed by (\S+@\S+, process \d+, run \w+) \(up\)`).FindStringSubmatch(refused.stderr)
	if owner == nil {
		t.Fatalf("whose lock is it? %s", refused.stderr)
	}
	l.provision(0, "unlock", "--yes").wants(t, 0, "MASTER  HELD BY ", "m1      "+owner[1]+"  up ", "the lock is broken\n")

	before := l.files("m1")
	up.signal(syscall.SIGCONT)
	out := up.end(time.Minute)
	out.wants(t, 1, goOn)
	if want := `\nerror: m1: control plane: lock: a later run \(generation \d+, ours is \d+\) has changed this machine, or 'provision unlock' broke this one's lock\n`; !regexp.MustCompile(want).MatchString(out.stderr) {
		t.Errorf("it does not say %q:\n%s", want, out.stderr)
	}
	if after := l.files("m1"); after != before {
		t.Errorf("before it went on:\n%s\nafter:\n%s", before, after)
	}
}

// files lists what up changes, but for bundles: one that is on its way arrives.
func (l *lab) files(machine string) string {
	l.t.Helper()
	return l.on(machine, "sh", "-c", `find /etc /var/lib/provision -type f -printf '%p %s %T@\n' | sort
		ls /opt/provision | grep agent; systemctl list-units --no-legend --plain 'provision*'; ip -o link | cut -d: -f2`)
}

// masterLost: the only master's power fails while its control plane starts.
func masterLost(t *testing.T, l *lab) {
	up := l.start("up", "--json")
	up.says(`"component":"units","action":"start etcd`)
	l.lab("kill", "m1")
	l.lab("start", "m1")
	out := up.end(time.Minute)
	out.wants(t, 1, "error: m1: control plane: start etcd, ", ": the connection to ", ":22 was lost: ")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
}

// workersLost: in one run a worker is cut off, another's disk is full, and a third
// loses its power. The fourth, and the master, have nothing to do with it.
func workersLost(t *testing.T, l *lab) {
	l.on("w2", "mount", "-t", "tmpfs", "-o", "size=100m,mode=755", "tmpfs", "/opt")
	l.provision(1, "up", "--yes").wants(t, 1, "error: w2: has 100 MiB free below /opt; 512 are needed for the programs\n")
	l.on("w2", "mount", "-o", "remount,size=600m", "/opt")

	out := l.loseWorkers(map[string][]string{
		"w1": {"cut", "w1"},
		"w2": {"ssh", "w2", "--", "sh", "-c", "dd if=/dev/zero of=/opt/full bs=1M 2>/dev/null; true"},
		"w3": {"kill", "w3"},
	})
	const upload = `: machines: send and unpack bundle \S+: `
	for _, want := range []string{
		`w1` + upload + `the connection to \S+:22 was lost: it did not answer for 40s\n`,
		`w2` + upload + `.*no space left on device\n`,
		`w3` + upload + `the connection to \S+:22 was lost: `,
	} {
		if !regexp.MustCompile(want).MatchString(out.stderr) {
			t.Errorf("it does not say %q:\n%s", want, out.stderr)
		}
	}
	nodes := l.kubectl("get", "nodes", "--no-headers")
	if strings.Count(nodes, " Ready ") != 2 || !strings.Contains(nodes, "w4 ") {
		t.Errorf("the others are not nodes:\n%s", nodes)
	}

	l.mendWorkers()
	before := l.received("w1")
	l.provision(0, "up", "--yes")
	sent, whole := l.received("w1")-before, bundleSize(t)
	t.Logf("to go on, w1 was sent %.1f MB; the whole bundle is %.1f MB", float64(sent)/1e6, float64(whole)/1e6)
	if sent > whole*4/5 {
		t.Error("the upload that was cut off began anew")
	}
	l.provision(0, "plan")
	if nodes := l.kubectl("get", "nodes", "--no-headers"); strings.Count(nodes, " Ready ") != 5 {
		t.Errorf("the nodes are\n%s", nodes)
	}
}

// loseWorkers has the lab do to each worker what is said, in the middle of the
// worker's upload. Where a moment was missed it all begins anew.
func (l *lab) loseWorkers(what map[string][]string) output {
	l.t.Helper()
	for try := range moments {
		l.slow(400 >> try)
		up := l.start("up", "--yes", "--fan-out=false") // over the cable, which is slow
		done := make(chan error)
		for worker, args := range what {
			go func() { done <- l.lose(worker, args) }()
		}
		var errs []error
		for range what {
			errs = append(errs, <-done)
		}
		err := errors.Join(errs...)
		l.slow(0)
		if err == nil {
			began := time.Now()
			out := up.end(2 * time.Minute)
			l.t.Logf("up ended %.1f s after the last worker was lost", time.Since(began).Seconds())
			out.wants(l.t, 1, goOn)
			return out
		}
		if !errors.Is(err, errOver) {
			l.t.Fatal(err)
		}
		l.t.Log(err)
		up.signal(os.Interrupt)
		up.end(time.Minute)
		l.mendWorkers()
		for worker := range what {
			l.noBundle(worker)
		}
	}
	l.t.Fatal("the uploads were always quicker than the test")
	return output{}
}

func (l *lab) lose(worker string, args []string) error {
	if err := l.midway(worker); err != nil {
		return fmt.Errorf("%s: %w", worker, err)
	}
	if out := l.call(time.Minute, append([]string{"bin/lab", args[0], "--dir", l.dir}, args[1:]...)...); out.code != 0 {
		return fmt.Errorf("lab %q: %s", args, out.all())
	}
	return nil
}

// mendWorkers undoes what was done to them.
func (l *lab) mendWorkers() {
	l.t.Helper()
	l.lab("join", "w1")
	l.on("w2", "rm", "-f", "/opt/full")
	l.call(time.Minute, "bin/lab", "start", "--dir", l.dir, "w3") // it may not have been off
	l.on("w3", "true")
}
