//go:build kernel

package kerneltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"provision/overlay"
)

// watched runs a step while the first pod asks the second one every 20 ms, and
// returns the longest time without an answer.
func watched(t *testing.T, what string, a, b *machine, duration time.Duration, step func()) time.Duration {
	t.Helper()
	type result struct {
		out string
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := a.inPod("gap", b.pod+":8080", duration.String())
		done <- result{out, err}
	}()
	time.Sleep(2 * time.Second)
	step()
	r := <-done
	var sent, lost, longest int
	if n, err := fmt.Sscan(r.out, &sent, &lost, &longest); n != 3 || r.err != nil {
		t.Fatalf("%s: %q: %v, %v", what, r.out, err, r.err)
	}
	t.Logf("%s: %d of %d datagrams lost, longest gap %d ms", what, lost, sent, longest)
	return time.Duration(longest) * time.Millisecond
}

// restart: the same device goes on, and nobody notices.
func restart(t *testing.T, a, b *machine) {
	const index = "cat /sys/class/net/wg0/ifindex"
	device := a.run(index)
	var before overlay.PeerStatus
	eventually(t, "the status knows of the traffic", 20*time.Second, func() error {
		if before = a.peer(); before.Received < 1<<20 {
			return fmt.Errorf("%d bytes received", before.Received)
		}
		return nil
	})
	var after overlay.PeerStatus
	gap := watched(t, "the agent restarts", a, b, 8*time.Second, func() {
		a.run("systemctl restart provision-overlay")
		after = a.peer()
	})
	if gap > time.Second {
		t.Errorf("traffic stopped for %v", gap)
	}
	if now := a.run(index); now != device {
		t.Errorf("wg0 is another device: %s, was %s", now, device)
	}
	if after.Handshake.Before(before.Handshake) || after.Received < before.Received || after.Sent < before.Sent {
		t.Errorf("the peer began anew: %+v, was %+v", after, before)
	}
	t.Logf("handshake of %s, then of %s; received %d, then %d bytes", before.Handshake.Format(time.TimeOnly), after.Handshake.Format(time.TimeOnly), before.Received, after.Received)
}

// deleted: wg0 comes back with its key and its peers.
func deleted(t *testing.T, a, b *machine) {
	gap := watched(t, "wg0 is deleted", a, b, 12*time.Second, func() { b.run("ip link del wg0") })
	if gap > 5*time.Second {
		t.Errorf("healed after %v", gap)
	}
	traffic(t, a, b)
}

// rotation gives the first machine another key while pods speak.
func rotation(t *testing.T, a, b *machine) {
	const rotate = program + " overlay rotate "
	old := a.status().PublicKey
	next := a.run(rotate + "prepare")
	eventually(t, "the next key is announced", 20*time.Second, func() error {
		_, err := a.try("grep -qF '" + next + "' /run/provision/overlay/announcement.json")
		return err
	})
	introduce(t, []*machine{a, b})
	eventually(t, "the next key is known", 20*time.Second, func() error {
		if b.peer().NextKey == (overlay.Key{}) || !a.status().Announced {
			return errors.New("not yet")
		}
		return nil
	})
	gap := watched(t, "the key changes", a, b, 10*time.Second, func() { a.run(rotate + "commit") })
	if gap > 5*time.Second {
		t.Errorf("traffic stopped for %v", gap)
	}
	if s := a.status(); s.PublicKey == old || s.PublicKey.String() != next || s.NextKey != (overlay.Key{}) {
		t.Errorf("its key is %v and then %v, was %v, was to be %s", s.PublicKey, s.NextKey, old, next)
	}
	introduce(t, []*machine{a, b})
	eventually(t, "the old key is forgotten", 20*time.Second, func() error {
		if p := b.peer(); p.Key.String() != next || p.NextKey != (overlay.Key{}) {
			return fmt.Errorf("%v, then %v", p.Key, p.NextKey)
		}
		return nil
	})
	traffic(t, a, b)
}

// behind: WireGuard refuses a handshake that says it was begun before one that
// was accepted. The other machine has to begin, and does, since its agent asks
// after this one.
func behind(t *testing.T, a, b *machine) {
	// So that the first machine has a handshake of today that the second one began.
	b.run("ip link del wg0")
	eventually(t, "a handshake of today", 30*time.Second, func() error { return a.ping(b.pod, 1420) })
	b.reboot(-24 * time.Hour)
	eventually(t, "its overlay is back", time.Minute, func() error {
		_, err := b.try("test -s /run/provision/overlay/status.json")
		return err
	})
	b.plug()
	eventually(t, "its pod is reached", 2*time.Minute, func() error { return a.ping(b.pod, 1420) })
	traffic(t, a, b)
	var here, there int64
	fmt.Sscan(a.run("date +%s"), &here)
	fmt.Sscan(b.run("date +%s"), &there)
	if late := here - there; late < 86000 || late > 86800 {
		t.Errorf("its clock is %d s behind, not a day", late)
	}
}

// checkpoint: power fails, and the machine has its network back without anybody
// to tell it of the others; and keeps it once there is.
func checkpoint(t *testing.T, a, b *machine) {
	key := a.status().PublicKey
	nodes := a.run("cat " + nodesFile + " && rm " + nodesFile + " && sync")
	a.reboot(0)
	eventually(t, "its overlay is back", time.Minute, func() error {
		if len(a.status().Peers) != 1 {
			return errors.New("it has no peer")
		}
		return nil
	})
	a.plug()
	eventually(t, "its pod reaches the other", time.Minute, func() error { return a.ping(b.pod, 1420) })
	traffic(t, a, b)
	s := a.status()
	if s.PublicKey != key || s.Mode != overlay.Kernel {
		t.Errorf("its key is %v in mode %s, was %v", s.PublicKey, s.Mode, key)
	}
	if !strings.Contains(strings.Join(s.Problems, "\n"), "the nodes cannot be read") {
		t.Errorf("nobody is told that the nodes cannot be read: %q", s.Problems)
	}
	if err := a.put(nodesFile, "600", []byte(nodes)); err != nil {
		t.Fatal(err)
	}
	gap := watched(t, "the nodes are there again", a, b, 10*time.Second, func() {})
	if gap > time.Second {
		t.Errorf("traffic stopped for %v", gap)
	}
	if s := a.status(); len(s.Problems) > 0 {
		t.Errorf("problems: %q", s.Problems)
	}
}
