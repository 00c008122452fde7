//go:build lab

package lock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestAFullDiskGivesTheLock fills a small disk to its last page, and once more
// with what the reserve had.
func TestAFullDiskGivesTheLock(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	full := func() {
		file, err := os.OpenFile(filepath.Join(disk, "full"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for err == nil {
			_, err = file.Write(make([]byte, 4096))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(disk, "lock")
	if _, err := run(dir, "acquire", "--owner", "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dir, "release", "--generation", "1"); err != nil {
		t.Fatal(err)
	}
	full()
	for range 3 {
		got, err := run(dir, "acquire", "--owner", "bob")
		if err != nil {
			t.Fatal(err)
		}
		full()
		if _, err := run(dir, "renew", "--generation", fmt.Sprint(got.Generation)); err != nil {
			t.Fatal(err)
		}
		if _, err := run(dir, "release", "--generation", fmt.Sprint(got.Generation)); err != nil {
			t.Fatal(err)
		}
		full()
	}
}
