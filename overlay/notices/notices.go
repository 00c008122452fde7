// Package notices tells that something changed in the kernel, as netlink's
// multicast groups say it. What it was is left to whoever looks then: a notice
// says no more than that a look is due.
package notices

import (
	"context"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
)

// again is how long it is waited before a subscription that ended is made anew.
const again = time.Second

// Follow subscribes to groups of a netlink protocol until the context ends, and
// returns a channel for each of so many kinds of change: sort says of which kind a
// message is, and a negative number that nobody cares. A notice that was not taken
// yet stands for all that came since.
//
// A change may be missed (the kernel drops messages that nobody reads in time):
// whoever needs certainty looks from time to time.
func Follow(ctx context.Context, protocol int, groups []uint, kinds int, sort func(syscall.NetlinkMessage) int) []<-chan struct{} {
	tell := make([]chan struct{}, kinds)
	told := make([]<-chan struct{}, kinds)
	for i := range tell {
		tell[i] = make(chan struct{}, 1)
		told[i] = tell[i]
	}
	go func() {
		for ctx.Err() == nil {
			listen(ctx, protocol, groups, func(m syscall.NetlinkMessage) {
				if kind := sort(m); kind >= 0 {
					note(tell[kind])
				}
			})
			select {
			case <-ctx.Done():
			case <-time.After(again):
				for _, c := range tell {
					note(c) // what happened in between
				}
			}
		}
	}()
	return told
}

// listen returns when the subscription ends, which an overrun does.
func listen(ctx context.Context, protocol int, groups []uint, hear func(syscall.NetlinkMessage)) {
	socket, err := nl.Subscribe(protocol, groups...)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, socket.Close)()
	defer socket.Close()
	for {
		messages, from, err := socket.Receive()
		if err != nil {
			return
		}
		if from.Pid != nl.PidKernel {
			continue
		}
		for _, m := range messages {
			hear(m)
		}
	}
}

func note(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting to be taken already
	}
}
