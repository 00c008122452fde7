package userspace

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A full window lets nobody in until half of what is inside came out.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow()
		w.enter()
		w.add(inFlight)
		var entered atomic.Int32
		for range 2 { // a reader of each family
			go func() { w.enter(); entered.Add(1) }()
		}
		for range inFlight / 2 {
			synctest.Wait()
			if entered.Load() > 0 {
				t.Fatal("let in while more than half is inside")
			}
			time.Sleep(patience / 2) // slow, but they come out
			w.done(1)
		}
		w.done(1)
		synctest.Wait()
		if n := entered.Load(); n != 2 {
			t.Errorf("%d of 2 let in", n)
		}
	})
}

// Packets that the device dropped without a word do not shut the window for ever,
// and one that comes out late after all does not open it wider.
func TestWindowForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWindow()
		w.add(inFlight)
		start := time.Now()
		w.enter()
		if waited := time.Since(start); waited < patience || waited > 2*patience {
			t.Errorf("let in after %v, want %v", waited, patience)
		}
		w.done(inFlight)
		w.add(inFlight)
		start = time.Now()
		w.enter()
		if time.Since(start) < patience {
			t.Error("what came out late counts twice")
		}
	})
}
