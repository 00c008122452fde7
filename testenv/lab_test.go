//go:build lab

package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// upDir tells this test's program to be `lab up` for that folder instead.
const upDir = "PLAB_TEST_UP"

func TestMain(m *testing.M) {
	Init()
	if dir := os.Getenv(upDir); dir != "" {
		_, err := Up(context.Background(), Options{Dir: dir, Masters: 1, Workers: 1, Log: os.Stdout})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "lab tests were asked for, and they need root")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// ownStore keeps a test's labs apart from any other on this host.
func ownStore(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("/var/lib", "plab-test-") // a disk: the usual folder for tests may be none
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PROVISION_LAB_STORE", dir)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

// makeLab makes a lab that the test's end takes away, however it ends.
func makeLab(t *testing.T, o Options) *Lab {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "lab")
	}
	t.Cleanup(func() {
		if err := Down(o.Dir); err != nil {
			t.Error(err)
		}
	})
	o.Log = testLog{t}
	lab, err := Up(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

type testLog struct{ t *testing.T }

func (l testLog) Write(line []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// on runs a shell line on a machine and returns what it wrote to stdout.
func (l *Lab) on(t *testing.T, name, line string) (string, error) {
	t.Helper()
	m, err := l.Machine(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	argv := append(l.sshArgv(m), remote([]string{line})...)
	var stdout, stderr bytes.Buffer
	err = l.InCaller(func() error {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		return cmd.Run()
	})
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", name, line, err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), err
}

// must is on, where the command has to succeed.
func (l *Lab) must(t *testing.T, name, line string) string {
	t.Helper()
	out, err := l.on(t, name, line)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// traces lists everything on the host that bears a lab's id.
func traces(t *testing.T, id string) []string {
	t.Helper()
	var found []string
	err := withGroups(func(all []hierarchy) error {
		found = findGroups(all, func(name string) bool { return strings.HasPrefix(name, "plab-"+id) })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"/proc/[0-9]*/cgroup", "/proc/[0-9]*/mounts", "/proc/[0-9]*/cmdline", "/proc/mounts"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if data, _ := os.ReadFile(file); bytes.Contains(data, []byte(id)) {
				found = append(found, file)
			}
		}
	}
	for _, pattern := range []string{"/sys/class/net/*" + id + "*", "/run/netns/*" + id + "*", "/run/systemd/nspawn/*/*" + id + "*", runtimeDir + "/*/" + id, Store() + "/" + id} {
		files, _ := filepath.Glob(pattern)
		found = append(found, files...)
	}
	return found
}

// gone checks that nothing of a lab is left.
func gone(t *testing.T, lab *Lab) {
	t.Helper()
	left := traces(t, lab.ID)
	for end := time.Now().Add(5 * time.Second); len(left) > 0 && time.Now().Before(end); left = traces(t, lab.ID) {
		time.Sleep(50 * time.Millisecond) // a dead process stays until init has seen it
	}
	if len(left) > 0 {
		t.Errorf("left of lab %s: %s", lab.ID, strings.Join(left, "\n  "))
	}
	if _, err := os.Stat(lab.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", lab.Dir, err)
	}
}
