package userspace

import (
	"sync/atomic"
	"time"
)

// The device's queues hold 1024 batches of 128 packets a peer, each packet in a
// buffer of 64 KiB: under load they take a gigabyte. So no more packets are given
// to the device, each way, than keep its workers busy. The others wait in the
// kernel, where a packet takes what it is long: in wg0's queue and the socket's.
const (
	inFlight = 512

	// patience is how long a full window may stand still before its packets are
	// taken for lost: the device drops what it does not believe, and tells nobody.
	patience = 5 * time.Millisecond
)

// window counts the packets inside the device, of one direction.
type window struct {
	inside atomic.Int64
	gone   atomic.Uint64 // times that packets came out
	wake   chan struct{}
}

func newWindow() *window { return &window{wake: make(chan struct{}, 1)} }

// enter waits while the window is full, until half of it is free: a reader that
// is woken for each packet is all that a processor does.
func (w *window) enter() {
	if w.inside.Load() < inFlight {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for w.inside.Load() >= inFlight/2 {
		gone := w.gone.Load()
		select {
		case <-w.wake:
		case <-timer.C:
			if w.gone.Load() == gone {
				w.inside.Store(0)
			}
			timer.Reset(patience)
		}
	}
	w.signal() // the other socket's reader may wait as well
}

func (w *window) add(n int) { w.inside.Add(int64(n)) }

// done is told of packets that came out.
func (w *window) done(n int) {
	if n == 0 {
		return
	}
	w.gone.Add(1)
	inside := w.inside.Add(-int64(n))
	if inside < 0 { // they were taken for lost
		w.inside.CompareAndSwap(inside, 0)
	}
	if inside < inFlight/2 && inside+int64(n) >= inFlight/2 {
		w.signal()
	}
}

func (w *window) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}
