package host

import (
	"context"
	"time"

	"github.com/vishvananda/netlink"
)

// quiet is how long the kernel has to be quiet before its changes are told: a
// pod that starts makes a dozen of them.
const quiet = 200 * time.Millisecond

// Events tells, until the context ends, that links, addresses or routes changed.
// It may miss a change (the kernel drops messages that nobody reads in time):
// whoever needs certainty looks from time to time.
func Events(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			follow(ctx, changed)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return changed
}

// follow returns when a subscription ends, which an overrun does.
func follow(ctx context.Context, changed chan<- struct{}) {
	done := make(chan struct{})
	defer close(done)
	links, addresses, routes := make(chan netlink.LinkUpdate), make(chan netlink.AddrUpdate), make(chan netlink.RouteUpdate)
	// Each subscription ends with done, and its goroutine with a last message that
	// nobody would take; hence the readers below.
	defer func() { go drain(links); go drain(addresses); go drain(routes) }()
	ignore := func(error) {}
	if netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{ErrorCallback: ignore}) != nil {
		close(links)
	}
	if netlink.AddrSubscribeWithOptions(addresses, done, netlink.AddrSubscribeOptions{ErrorCallback: ignore}) != nil {
		close(addresses)
	}
	if netlink.RouteSubscribeWithOptions(routes, done, netlink.RouteSubscribeOptions{ErrorCallback: ignore}) != nil {
		close(routes)
	}
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	pending := false
	for {
		ok := true
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			pending = false
			select {
			case changed <- struct{}{}:
			default: // one is waiting to be taken already
			}
			continue
		case _, ok = <-links:
		case _, ok = <-addresses:
		case _, ok = <-routes:
		}
		if !ok {
			return
		}
		if !pending { // not pushed back by every message: a busy machine would never be told
			pending = true
			timer.Reset(quiet)
		}
	}
}

func drain[T any](c <-chan T) {
	for range c {
	}
}
