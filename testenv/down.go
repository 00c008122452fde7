package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Down removes a directory's lab: processes, network, roots, keys and cluster.hcl.
// Where there is none it does nothing. It needs no lab in good order: whatever
// was made before a crash is found by the lab's id.
func Down(dir string) error {
	l, err := Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("removing a lab needs root")
	}
	unlock, err := lock(filepath.Join(l.store(), "lock"), 5*time.Second)
	if err != nil {
		return fmt.Errorf("%s: another `lab` is at work on it: wait for it or stop it (%w)", l.Dir, err)
	}
	defer unlock()
	return l.remove()
}

// remove takes everything of the lab away, lab.json last, so that it can be
// done again where it was interrupted. The caller holds the lab's lock.
func (l *Lab) remove() error {
	// The switch goes first: no machine says goodbye to another, and the caller's
	// end of the cable is gone at once rather than when the kernel gets to it.
	l.onSwitch(func(sw netns.NsHandle) error { return unplug(sw, cablePort) })
	errs := []error{killNamed(func(name string) bool { return strings.HasPrefix(name, "plab-"+l.ID+"-") })}
	leftovers := l.nspawnFiles()
	errs = append(errs, removeTree(l.store()))
	for _, name := range leftovers {
		errs = append(errs, os.RemoveAll(name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := l.leave(); err != nil {
		return err
	}
	if own, err := Open(l.Dir); err != nil || own.ID != l.ID {
		return nil // the directory went before, or is another lab's now
	}
	for _, name := range []string{"cluster.hcl", filepath.Base(l.KnownHosts()), filepath.Base(l.Key()) + ".pub", filepath.Base(l.Key()), stateFile} {
		if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	os.Remove(l.Dir) // where nothing else is in it
	return nil
}

// nspawnFiles lists what nspawn leaves of machines that it could not say goodbye to: a
// folder by the machine's name, and a lock by the number of its root.
func (l *Lab) nspawnFiles() []string {
	files, _ := filepath.Glob("/run/systemd/nspawn/propagate/plab-" + l.ID + "-*")
	roots, _ := filepath.Glob(l.root("*"))
	for _, root := range roots {
		if info, err := os.Stat(root); err == nil {
			stat := info.Sys().(*syscall.Stat_t)
			files = append(files, fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", stat.Dev, stat.Ino))
		}
	}
	return files
}

// removeTree removes a folder and unmounts what is mounted below it.
func removeTree(dir string) error {
	table, err := mounts()
	if err != nil {
		return err
	}
	slices.Reverse(table) // what was mounted last lies deepest
	for _, m := range table {
		if strings.HasPrefix(m.point, dir+"/") {
			unix.Unmount(m.point, unix.MNT_DETACH)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := os.RemoveAll(dir)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
