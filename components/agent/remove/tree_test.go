package remove

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func removeTree(t *testing.T, root, path string) *remover {
	t.Helper()
	r := &remover{effects: effects{root: root}}
	r.removeTree(context.Background(), path)
	return r
}

func TestLinksAreRemovedAndNotFollowed(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	dir := filepath.Join(root, "var/lib/provision")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "a/b"), 0o755),
		os.WriteFile(filepath.Join(outside, "keep"), nil, 0o600),
		os.Symlink(outside, filepath.Join(dir, "a/out")),
		os.Symlink("/", filepath.Join(dir, "root")),
		os.Symlink(filepath.Join(outside, "keep"), filepath.Join(dir, "a/b/file")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	r := removeTree(t, root, "/var/lib/provision")
	if _, err := os.Lstat(dir); err == nil || len(r.report.Residue) > 0 {
		t.Errorf("left: %v", r.report.Residue)
	}
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error(err)
	}
}

func TestALinkInPlaceOfOurFolderIsKept(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "var/lib"), 0o755),
		os.WriteFile(filepath.Join(outside, "keep"), nil, 0o600),
		os.Symlink(outside, filepath.Join(root, "var/lib/provision")),
		os.WriteFile(filepath.Join(root, "var/lib/kubelet"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/var/lib/provision", "/var/lib/kubelet"} {
		r := removeTree(t, root, path)
		if len(r.report.Kept) != 1 || len(r.report.Residue) > 0 {
			t.Errorf("%s: %+v", path, r.report)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "keep")); err != nil {
		t.Error(err)
	}
}

// A pod can nest folders deeper than a path may be long.
func TestAnyDepthIsRemoved(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "provision")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Repeat("d", 20)
	for range 1000 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(at)
		if err != nil {
			t.Fatal(err)
		}
		at = next
	}
	unix.Close(at)
	r := removeTree(t, root, "/provision")
	if _, err := os.Lstat(dir); err == nil || len(r.report.Residue) > 0 {
		t.Errorf("left: %v", r.report.Residue)
	}
}

func TestManyFilesAreRemoved(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "provision")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if err := os.Symlink("x", filepath.Join(dir, strings.Repeat("f", 50)+string(rune('a'+i%26))+strings.Repeat("0", i/26))); err != nil {
			t.Fatal(err)
		}
	}
	if r := removeTree(t, root, "/provision"); len(r.report.Removed) != 1 {
		t.Errorf("%+v", r.report)
	}
}

func TestATimeLimitIsReported(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "provision/a"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := &remover{effects: effects{root: root}}
	r.removeTree(ctx, "/provision")
	if len(r.report.Residue) != 1 || !strings.Contains(r.report.Residue[0].Why, "canceled") {
		t.Errorf("%+v", r.report)
	}
}
