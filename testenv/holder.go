package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netns"
)

// The outside host's process keeps two namespaces open, under these numbers.
const (
	switchFD = 3
	callerFD = 4 // the one that Up was called in, where the cable ends
)

const outsideGroup = "outside"

// startOutside starts the outside host, which also holds the switch: when it ends, all
// cables end.
func (l *Lab) startOutside(sw, caller, outside netns.NsHandle) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(l.store(), "outside.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	held := []*os.File{dup(sw), dup(caller)}
	defer held[0].Close()
	defer held[1].Close()
	cmd := &exec.Cmd{Args: []string{program, outsideArg}, Stdout: log, Stderr: log, ExtraFiles: held}
	return start(l.group(outsideGroup), outside, cmd)
}

// dup returns a handle as a file that may be closed by itself.
func dup(ns netns.NsHandle) *os.File {
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", int(ns)))
	if err != nil {
		return nil // an *os.File that every use refuses
	}
	return file
}

var errOff = errors.New("the lab's switch is gone (after a reboot of this host?): `lab down`, then `lab up`")

// held opens a namespace that the outside host's process keeps.
func (l *Lab) held(fd int) (netns.NsHandle, error) {
	pids, err := processes(l.group(outsideGroup))
	if err != nil {
		return netns.None(), err
	}
	for _, pid := range pids {
		if ns, err := netns.GetFromPath(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err == nil {
			return ns, nil
		}
	}
	return netns.None(), errOff
}

// InCaller runs f on a thread in the namespace that Up was called in, from
// which every machine is reached. Processes that f starts are there as well.
func (l *Lab) InCaller(f func() error) error {
	ns, err := l.held(callerFD)
	if err != nil {
		return err
	}
	defer ns.Close()
	return inNetwork(ns, f)
}

// onSwitch calls f with the switch's namespace.
func (l *Lab) onSwitch(f func(netns.NsHandle) error) error {
	ns, err := l.held(switchFD)
	if err != nil {
		return err
	}
	defer ns.Close()
	return f(ns)
}
