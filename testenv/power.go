package testenv

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netns"
)

// Cut pulls the machines' cables at the switch. Their links keep their carrier, as
// when a switch forgets a port. Machines that are cut off still reach each other.
func (l *Lab) Cut(names ...string) error { return l.attach(cutBridge, names) }

// Join plugs the cables in again.
func (l *Lab) Join(names ...string) error { return l.attach(mainBridge, names) }

func (l *Lab) attach(bridge string, names []string) error {
	for _, name := range names {
		if _, err := l.Machine(name); err != nil {
			return err
		}
	}
	return l.onSwitch(func(sw netns.NsHandle) error { return attach(sw, bridge, names...) })
}

// Kill takes the machines' power away. The cable goes first: a kernel closes the
// sockets of a killed process with a goodbye, which a dead machine never sends. Their
// disks stay. A machine that is off already stays off.
func (l *Lab) Kill(names ...string) error {
	for _, name := range names {
		if _, err := l.Machine(name); err != nil {
			return err
		}
	}
	return l.onSwitch(func(sw netns.NsHandle) error {
		for _, name := range names {
			// Only a machine that is off has no port.
			if err := attach(sw, "", name); err != nil && l.running(name) {
				return err
			}
		}
		for _, name := range names {
			if err := killNamed(func(found string) bool { return found == l.group(name) }); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := unplug(sw, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
}

// Start switches a machine on again, with the disk that it had and nothing else: its
// kernel state is new. It returns when the machine answers SSH.
func (l *Lab) Start(ctx context.Context, name string) error { return l.StartAt(ctx, name, 0) }

// StartAt is Start, with the machine's clock ahead of the host's by so much, or
// behind where it is less than 0. Only an emulated machine has a clock.
func (l *Lab) StartAt(ctx context.Context, name string, ahead time.Duration) error {
	m, err := l.Machine(name)
	if err != nil {
		return err
	}
	if ahead != 0 && l.Driver != qemu {
		return fmt.Errorf("%s has the host's clock, which nobody moves; machines of `lab up --driver qemu` have their own", name)
	}
	if l.running(name) {
		return fmt.Errorf("%s is running; `lab kill %s` takes its power away", name, name)
	}
	if err := l.Kill(name); err != nil { // what a machine leaves that halted by itself
		return err
	}
	signer, err := l.signer()
	if err != nil {
		return err
	}
	return l.onSwitch(func(sw netns.NsHandle) error {
		return l.InCaller(func() error { return l.boot(ctx, sw, m, signer, ahead) })
	})
}
