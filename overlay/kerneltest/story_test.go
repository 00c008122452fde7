//go:build kernel

package kerneltest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
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
	eventually(t, "the status knows of the traffic", func() error {
		if before = a.peer(); before.Received < 1<<20 {
			return fmt.Errorf("%d bytes received", before.Received)
		}
		return nil
	})
	var after overlay.PeerStatus
	gap := watched(t, "the agent restarts", a, b, 6*time.Second, func() {
		a.run("systemctl restart provision-overlay")
		after = a.peer()
	})
	if gap > 3*time.Second { // a busy host stops whole machines
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
	gap := watched(t, "wg0 is deleted", a, b, 9*time.Second, func() { b.run("ip link del wg0") })
	if gap > 10*time.Second {
		t.Errorf("healed after %v", gap)
	}
	traffic(t, a, b)
}

// rotation gives the first machine another key while pods speak.
func rotation(t *testing.T, a, b *machine) {
	const rotate = program + " overlay rotate "
	old := a.status().PublicKey
	next := a.run(rotate + "prepare")
	eventually(t, "the next key is announced", func() error {
		_, err := a.try("grep -qF '" + next + "' /run/provision/overlay/announcement.json")
		return err
	})
	introduce(t, []*machine{a, b})
	eventually(t, "the next key is known", func() error {
		if b.peer().NextKey == (overlay.Key{}) || !a.status().Announced {
			return errors.New("not yet")
		}
		return nil
	})
	gap := watched(t, "the key changes", a, b, 8*time.Second, func() { a.run(rotate + "commit") })
	if gap > 10*time.Second {
		t.Errorf("traffic stopped for %v", gap)
	}
	if s := a.status(); s.PublicKey == old || s.PublicKey.String() != next || s.NextKey != (overlay.Key{}) {
		t.Errorf("its key is %v and then %v, was %v, was to be %s", s.PublicKey, s.NextKey, old, next)
	}
	introduce(t, []*machine{a, b})
	eventually(t, "the old key is forgotten", func() error {
		if p := b.peer(); p.Key.String() != next || p.NextKey != (overlay.Key{}) {
			return fmt.Errorf("%v, then %v", p.Key, p.NextKey)
		}
		return nil
	})
	traffic(t, a, b)
}

// preshared: a key for all is switched on, is another one on one side, is the same
// again, and is switched off. What lives goes on until the next handshake, which
// is why wg0 is deleted each time.
func preshared(t *testing.T, a, b *machine) {
	const file = "/etc/provision/overlay.psk"
	born := overlay.NewPresharedKey().PresharedKeyText()
	give := func(key []byte, to ...*machine) {
		t.Helper()
		for _, m := range to {
			if err := m.put(file, "600", key); err != nil {
				t.Fatal(err)
			}
		}
	}
	use := func(name string) {
		t.Helper()
		var group sync.WaitGroup
		for _, m := range []*machine{a, b} {
			m.config.PresharedKeyFile = name
			group.Go(func() {
				if err := m.configure(); err != nil {
					t.Error(err)
				}
				if _, err := m.try("systemctl restart provision-overlay"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		b.run("ip link del wg0")
	}
	reached := func(what string, preshared bool) {
		t.Helper()
		eventually(t, what+": the other pod is reached", func() error { return a.ping(b.pod, 1420, 3) })
		for _, m := range []*machine{a, b} {
			if got := m.status().Preshared; got != preshared {
				t.Errorf("%s: %s: a pre-shared key is in use: %v", m.name, what, got)
			}
		}
	}
	give(born, a, b)
	use(file)
	reached("on", true)

	next := overlay.NewPresharedKey().PresharedKeyText()
	give(next, a)
	if err := a.ping(b.pod, 1420, 3); err != nil {
		t.Errorf("the session that lives is cut: %v", err)
	}
	b.run("ip link del wg0; systemctl restart provision-overlay")
	eventually(t, "with different keys the machine is told to be silent, and why", func() error {
		if said := strings.Join(b.status().Problems, "\n"); !strings.Contains(said, "its pre-shared key is not this machine's") {
			return fmt.Errorf("it says %q", said)
		}
		return nil
	})
	if a.ping(b.pod, 1420, 1) == nil || b.ping(a.pod, 1420, 1) == nil || !b.peer().Handshake.IsZero() {
		t.Error("with different keys they reach each other")
	}
	give(next, b)
	reached("rotated", true)
	traffic(t, a, b)

	use("")
	reached("off", false)
}

// reboot: power fails, and the machine has its network back without anybody to
// tell it of the others; and keeps it once there is. It believes that it is
// yesterday: WireGuard refuses a handshake that says it was begun before one that
// was accepted, so the other machine has to begin, and does, since its agent asks
// after this one.
func reboot(t *testing.T, a, b *machine) {
	// So that the first machine has a handshake of today that the second one began.
	b.run("ip link del wg0")
	eventually(t, "a handshake of today", func() error { return a.ping(b.pod, 1420, 3) })
	key := b.status().PublicKey
	nodes := b.run("cat " + nodesFile + " && rm " + nodesFile + " && sync")
	b.reboot(-24 * time.Hour)
	eventually(t, "its overlay is back", func() error {
		if len(b.status().Peers) != 1 {
			return errors.New("it has no peer")
		}
		return nil
	})
	b.plug()
	eventually(t, "its pod is reached", func() error { return a.ping(b.pod, 1420, 3) })
	traffic(t, a, b)
	var here, there int64
	fmt.Sscan(a.run("date +%s"), &here)
	fmt.Sscan(b.run("date +%s"), &there)
	if late := here - there; late < 86000 || late > 86800 {
		t.Errorf("its clock is %d s behind, not a day", late)
	}
	s := b.status()
	if s.PublicKey != key || s.Mode != overlay.Kernel {
		t.Errorf("its key is %v in mode %s, was %v", s.PublicKey, s.Mode, key)
	}
	if !strings.Contains(strings.Join(s.Problems, "\n"), "the nodes cannot be read") {
		t.Errorf("nobody is told that the nodes cannot be read: %q", s.Problems)
	}
	if err := b.put(nodesFile, "600", []byte(nodes)); err != nil {
		t.Fatal(err)
	}
	gap := watched(t, "the nodes are there again", a, b, 6*time.Second, func() {})
	if gap > 3*time.Second { // a busy host stops whole machines
		t.Errorf("traffic stopped for %v", gap)
	}
	eventually(t, "no problem is left", func() error {
		if s := b.status(); len(s.Problems) > 0 {
			return fmt.Errorf("problems: %q", s.Problems)
		}
		return nil
	})
}
