//go:build lab

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision/provisioner/bundle"
)

// root is the repository's folder, where bin/ and dist/ are.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// lab is a lab of one test; the machines go when the test ends.
type lab struct {
	t    testing.TB
	dir  string
	file string

	untouched map[string]string // the machines' traces before the first up, in a lab of parts

	failed *lastFailure
}

// lastFailure is the command of a lab that failed last, wanted or not, and the end of what
// it said.
type lastFailure struct {
	mu   sync.Mutex // tests call from goroutines as well
	said string
}

func newLab(t testing.TB, flags ...string) *lab {
	t.Helper()
	l := labIn(t, filepath.Join(t.TempDir(), "lab"))
	t.Cleanup(func() { l.down(t.Failed()) })
	l.lab(append([]string{"up"}, flags...)...)
	return l
}

func labIn(t testing.TB, dir string) *lab {
	return &lab{t: t, dir: dir, file: filepath.Join(dir, "cluster.hcl"), failed: &lastFailure{}}
}

// in is the lab for a subtest.
func (l *lab) in(t testing.TB) *lab {
	return &lab{t: t, dir: l.dir, file: l.file, untouched: l.untouched, failed: l.failed}
}

// down takes the machines away, and says before what they have to say, where something failed.
func (l *lab) down(failed bool) {
	last := l.failed.said
	if failed {
		l.sayWhy()
	}
	out := l.call(2*time.Minute, "bin/lab", "down", "--dir", l.dir)
	if out.code != 0 {
		l.t.Errorf("lab down: %s", out.all())
	}
	// Again, since the machines' logs are long: whoever reads a red run begins at its end.
	if failed && last != "" {
		l.t.Logf("the last command that failed, the reason or not: %s", last)
	}
}

// part is what is tried on a lab that others are tried on as well. It gets a cluster that
// is up and well, or what the part before it says that it leaves. One that is first and
// blank gets machines with nothing on them.
type part struct {
	name  string
	blank bool
	run   func(*lab)
}

// parts tries one after another on one lab, each as a test of its own, which can be run
// alone. What comes after one that failed gets machines of its own.
func parts(t *testing.T, flags []string, all ...part) {
	t.Helper()
	var l *lab
	dir := t.TempDir() // before the cleanup, which has to come before this one's
	t.Cleanup(func() {
		if l != nil {
			l.in(t).down(false)
		}
	})
	for _, p := range all {
		well := t.Run(p.name, func(s *testing.T) {
			if l == nil {
				l = labIn(s, filepath.Join(dir, strings.ReplaceAll(p.name, " ", "-")))
				l.lab(append([]string{"up"}, flags...)...)
				l.untouched = map[string]string{}
				for _, m := range l.machines() {
					l.untouched[m] = l.traces(m)
				}
				if !p.blank {
					l.provision(0, "up", "--yes")
				}
			} else if p.blank {
				s.Fatal("only the first part has blank machines")
			}
			p.run(l.in(s))
		})
		if !well && l != nil {
			l.in(t).down(true)
			l = nil
		}
	}
}

// reachOutside has verify check the way out as well: the lab plays the world.
func (l *lab) reachOutside() {
	l.t.Helper()
	l.insert("  verify { outside = \"outside.test:80\" }\n")
}

// insert puts a line into the file's cluster block.
func (l *lab) insert(line string) {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	const before = "  version = var.version\n"
	told := strings.Replace(string(text), before, before+line, 1)
	if told == string(text) {
		l.t.Fatalf("%s does not say %q", l.file, before)
	}
	if err := os.WriteFile(l.file, []byte(told), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// sayWhy prints what the machines' own logs say, for whoever reads a red run.
func (l *lab) sayWhy() {
	for _, argv := range [][]string{
		{"bin/provision", "status", l.file},
		{"bin/provision", "kubectl", l.file, "--", "get", "nodes,pods,csr", "-A", "-o", "wide"},
		{"bin/provision", "kubectl", l.file, "--", "get", "events", "-A", "--sort-by=.lastTimestamp"},
	} {
		l.t.Logf("%s\n%s", strings.Join(argv, " "), l.call(30*time.Second, argv...).all())
	}
	for _, name := range l.machines() {
		log := l.call(30*time.Second, "bin/lab", "ssh", name, "--dir", l.dir, "--", "journalctl", "-q", "--no-pager", "-p", "warning", "-n", "60")
		l.t.Logf("%s's log\n%s", name, log.all())
	}
}

// machines are the names of all that the lab has.
func (l *lab) machines() (names []string) {
	list := l.call(10*time.Second, "bin/lab", "list", "--dir", l.dir)
	for line := range strings.Lines(list.stdout) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, name)
	}
	return names
}

// output is what a command said.
type output struct {
	code           int
	stdout, stderr string
}

func (o output) all() string { return o.stdout + o.stderr }

// call runs a program of the repository to its end or the time limit.
func (l *lab) call(limit time.Duration, argv ...string) output {
	l.t.Helper()
	return l.callWith(limit, "", argv...)
}

func (l *lab) callWith(limit time.Duration, stdin string, argv ...string) output {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		l.t.Fatalf("%s: %v", strings.Join(argv, " "), err)
	}
	out := output{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if out.code != 0 {
		l.failed.mu.Lock()
		defer l.failed.mu.Unlock()
		l.failed.said = fmt.Sprintf("%s: exit status %d\n%s", strings.Join(argv, " "), out.code, tail(out.all(), 40))
	}
	return out
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "")
}

// lab runs a command of the lab, which must succeed.
func (l *lab) lab(args ...string) output {
	l.t.Helper()
	argv := append([]string{"bin/lab", args[0], "--dir", l.dir}, args[1:]...)
	out := l.call(3*time.Minute, argv...)
	if out.code != 0 {
		l.t.Fatalf("lab %s: exit status %d\n%s", strings.Join(args, " "), out.code, out.all())
	}
	return out
}

// on runs a command on a machine, which must succeed, and returns its output.
func (l *lab) on(machine string, argv ...string) string {
	l.t.Helper()
	out := l.call(time.Minute, append([]string{"bin/lab", "ssh", machine, "--dir", l.dir, "--"}, argv...)...)
	if out.code != 0 {
		l.t.Fatalf("%s: %s: exit status %d\n%s", machine, strings.Join(argv, " "), out.code, out.all())
	}
	return out.stdout
}

// provision runs a command of the tool ("up", "certs rotate") on the lab's file and checks
// its exit status.
func (l *lab) provision(want int, command string, args ...string) output {
	l.t.Helper()
	start := time.Now()
	out := l.call(10*time.Minute, slices.Concat([]string{"bin/provision"}, strings.Fields(command), []string{l.file}, args)...)
	l.t.Logf("provision %s %s: %.1f s", command, strings.Join(args, " "), time.Since(start).Seconds())
	if out.code != want {
		l.t.Fatalf("provision %s: exit status %d, want %d\n%s", command, out.code, want, out.all())
	}
	return out
}

// kubectl runs kubectl, which must succeed, and returns its output.
func (l *lab) kubectl(args ...string) string {
	l.t.Helper()
	return l.provision(0, "kubectl", append([]string{"--"}, args...)...).stdout
}

// apply gives the API server a manifest.
func (l *lab) apply(manifest string) {
	l.t.Helper()
	out := l.callWith(time.Minute, manifest, "bin/provision", "kubectl", l.file, "--", "apply", "-f", "-")
	if out.code != 0 {
		l.t.Fatalf("apply: %s", out.all())
	}
}

// image returns the reference of an image of the newest bundle.
func image(t testing.TB, name string) string {
	t.Helper()
	path, err := bundle.Find([]string{filepath.Join(root, "dist")}, "")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, image := range b.Components().Images {
		if image.File == "images/"+name+".tar" {
			return image.Name
		}
	}
	t.Fatalf("%s has no image %s", path, name)
	return ""
}

// eventually asks until the answer is yes, for a minute at most.
func eventually(t testing.TB, what string, ask func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	var last string
	for time.Now().Before(deadline) {
		var ok bool
		if ok, last = ask(); ok {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("%s: not within a minute; last: %s", what, last)
}
