package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestVolume(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	top := t.TempDir()
	outside := filepath.Join(t.TempDir(), "precious")
	for _, dir := range []string{outside, filepath.Join(top, "ns"), filepath.Join(top, "other")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Dir(outside), filepath.Join(top, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	call := func(action, path, mode string) error {
		return run(top, []string{"-p", path, "-s", "1048576", "-m", mode, "-a", action})
	}
	volume := filepath.Join(top, "pvc-1_default_data")
	for range 2 { // a helper's pod may be started again
		if err := call("create", volume, "Filesystem"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(top); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Stat(volume); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("%v, %v", info, err)
	}
	if err := call("create", filepath.Join(top, "ns", "deeper"), "Filesystem"); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(outside, filepath.Join(volume, "out")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		top, top + "/", top + "/..", top + "/ns/../other", outside, "", "other", filepath.Join(top, "link", "precious"), top + "x",
	} {
		for _, action := range []string{"create", "delete"} {
			if err := call(action, path, "Filesystem"); err == nil {
				t.Errorf("%s %q was done", action, path)
			}
		}
	}
	if err := call("create", filepath.Join(top, "file"), "Filesystem"); err == nil {
		t.Error("a file is a volume")
	}
	if err := call("create", filepath.Join(top, "block"), "Block"); err == nil {
		t.Error("a block device was made")
	}
	if err := call("purge", volume, "Filesystem"); !errors.Is(err, errUsage) {
		t.Errorf("purge: %v", err)
	}
	for range 2 {
		if err := call("delete", volume, "Filesystem"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(volume); !os.IsNotExist(err) {
		t.Errorf("the volume is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link in the volume led to is gone: %v", err)
	}
}
