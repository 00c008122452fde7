//go:build lab

package testenv

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// crash starts an up in a process of its own and kills it some time after its lab can be
// found. It returns what was to become a lab.
func crash(t *testing.T, dir string, after time.Duration) *Lab {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), upDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Down(dir) })
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "lab "); {
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
	lab, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

func TestDownAfterCrash(t *testing.T) {
	ownStore(t)
	for _, after := range []time.Duration{0, 300 * time.Millisecond, time.Second, 2 * time.Second} {
		dir := filepath.Join(t.TempDir(), "lab")
		lab := crash(t, dir, after)
		_, err := Up(t.Context(), Options{Dir: dir, Masters: 1})
		if err == nil || !strings.Contains(err.Error(), "lab down") {
			t.Errorf("killed after %s: up says %v", after, err)
		}
		if err := Down(dir); err != nil {
			t.Errorf("killed after %s: %v", after, err)
		}
		gone(t, lab)
	}
}

func TestSweep(t *testing.T) {
	ownStore(t)
	standing := makeLab(t, Options{Masters: 1})
	crashed := crash(t, filepath.Join(t.TempDir(), "crashed"), time.Second)
	lost := makeLab(t, Options{Masters: 1})
	if err := os.RemoveAll(lost.Dir); err != nil {
		t.Fatal(err)
	}
	swept, err := Sweep()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(swept)
	want := []string{crashed.ID + ": it was never finished", lost.ID + ": its directory " + lost.Dir + " is gone"}
	slices.Sort(want)
	if !slices.Equal(swept, want) {
		t.Errorf("swept %q, want %q", swept, want)
	}
	gone(t, crashed)
	gone(t, lost)
	if got := standing.must(t, "m1", "hostname"); got != "m1" {
		t.Errorf("the lab that stands says %q", got)
	}
}

// A failed up takes away what it made.
func TestFailedUp(t *testing.T) {
	ownStore(t)
	dir := filepath.Join(t.TempDir(), "lab")
	cache := t.TempDir()
	t.Setenv("PROVISION_LAB_CACHE", cache)
	emptyImage(t, cache)
	if _, err := Up(deadline(t), Options{Dir: dir, Masters: 1}); err == nil {
		t.Fatal("a lab came up from an empty image")
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there (%v)", dir, err)
	}
	if left, _ := labIDs(); len(left) > 0 {
		t.Errorf("left in the store: %q", left)
	}
}

// emptyImage makes a cache whose image has nothing in it to boot.
func emptyImage(t *testing.T, cache string) {
	t.Helper()
	for _, dir := range []string{"etc/ssh/sshd_config.d", "root", "usr"} {
		if err := os.MkdirAll(filepath.Join(imagePath(cache, ""), dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
