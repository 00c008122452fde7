package testenv

import (
	"runtime"

	"github.com/vishvananda/netns"
)

// onThread runs f on an operating system thread that ends with it, so that f
// may change what belongs to a thread: its namespaces and its mount table.
// Processes that f starts inherit them.
func onThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is not used again
		done <- f()
	}()
	return <-done
}

// inNetwork runs f in a network namespace.
func inNetwork(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return f()
	})
}

// newNetwork makes a network namespace, which lives as long as the handle is
// open or a process is in it.
func newNetwork() (netns.NsHandle, error) {
	ns := netns.None()
	err := onThread(func() (err error) {
		ns, err = netns.New()
		return err
	})
	return ns, err
}
