package ping

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

func free(t *testing.T, on net.IP) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: on})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Two that know each other measure each other; a stranger is not answered.
func TestTwo(t *testing.T) {
	for name, on := range map[string]net.IP{"IPv4": net.IPv4(127, 0, 0, 1), "IPv6": net.IPv6loopback} {
		t.Run(name, func(t *testing.T) { t.Parallel(); two(t, on) })
	}
}

func two(t *testing.T, on net.IP) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	a, b, dead := free(t, on), free(t, on), free(t, on)
	one, other := New(), New()
	one.Set(a, 1420, []netip.AddrPort{b, dead})
	other.Set(b, 1420, []netip.AddrPort{a})
	for _, p := range []*Pinger{one, other} {
		go p.Run(ctx)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		results, err := one.Results()
		if err != nil {
			t.Fatal(err)
		}
		if r := results[b]; r.RoundTrip > 0 && r.PathMTU == 1420 && results[dead].Silent {
			if r.Loss == 1 || results[dead].Loss != 1 || results[dead].PathMTU != 0 {
				t.Errorf("%+v", results)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("measured %+v", results)
		}
		time.Sleep(50 * time.Millisecond)
	}
	stranger, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a))
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	stranger.Write(question([8]byte{}, 1, smallest))
	stranger.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := stranger.Read(make([]byte, 64)); err == nil {
		t.Error("a stranger was answered")
	}
}

// What is set anew keeps what was measured of the peers that stay.
func TestSet(t *testing.T) {
	p := New()
	a, b := netip.MustParseAddrPort("10.244.1.2:1"), netip.MustParseAddrPort("10.244.2.2:1")
	p.Set(netip.AddrPort{}, 1420, []netip.AddrPort{a})
	p.peers[a].ping(7, time.Now())
	p.peers[a].answered(7, time.Now().Add(time.Millisecond))
	p.peers[a].path.found = 1420
	p.Set(netip.AddrPort{}, 1420, []netip.AddrPort{a, b})
	results, _ := p.Results()
	if r := results[a]; r.RoundTrip == 0 || r.PathMTU != 1420 || len(results) != 2 {
		t.Errorf("%+v", results)
	}
	p.Set(netip.AddrPort{}, 1340, []netip.AddrPort{a})
	results, _ = p.Results()
	if r := results[a]; r.RoundTrip == 0 || r.PathMTU != 0 || len(results) != 1 {
		t.Errorf("after another MTU: %+v", results)
	}
}

func TestLoss(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := &peer{}
	for i := range uint32(remember + 5) {
		p.ping(i, now)
		if i%4 != 0 {
			p.answered(i, now.Add(time.Duration(i)*time.Millisecond))
		}
		p.answered(999, now) // of nobody's asking
		now = now.Add(pause)
	}
	if r := p.result(now, pause); r.Loss != 0.25 || r.RoundTrip == 0 || r.Silent {
		t.Errorf("%+v", r)
	}
	fresh := &peer{}
	fresh.ping(1, now)
	if r := fresh.result(now, pause); r.Loss != 0 || r.Silent {
		t.Errorf("an answer that may still come counts as lost: %+v", r)
	}
}

// The search ends within its precision below what the path carries.
func TestSearch(t *testing.T) {
	for _, path := range []int{576, 600, 1280, 1340, 1419, 1420, 9000} {
		s, now, steps := search{}, time.Unix(1e9, 0), 0
		for s.found == 0 {
			size := s.step(1420, now, true)
			if size > 0 && size <= path {
				s.arrived = true
			}
			now = now.Add(pause)
			if steps++; steps > 60 {
				t.Fatalf("%d: it never ends: %+v", path, s)
			}
		}
		if s.found > path || s.found < min(path, 1420)-precision {
			t.Errorf("%d: found %d", path, s.found)
		}
		if size := s.step(1420, now.Add(settled/2), true); size != 0 {
			t.Errorf("%d: it does not rest", path)
		}
		if size := s.step(1420, now.Add(settled), true); size != 1420 {
			t.Errorf("%d: it never looks again", path)
		}
	}
	s := search{}
	if size := s.step(1420, time.Now(), false); size != 0 {
		t.Error("it looks for the path to a peer that is off")
	}
}

// What did not come from our own asking is no answer.
func TestAnswersToSomebodyElse(t *testing.T) {
	p := New()
	a := netip.MustParseAddrPort("10.244.1.2:1")
	p.Set(netip.AddrPort{}, 1420, []netip.AddrPort{a})
	p.peers[a].ping(7, time.Now())
	p.take(nil, a, answer(message{cookie: [8]byte{1}, sequence: 7}))
	if results, _ := p.Results(); results[a].RoundTrip != 0 {
		t.Errorf("counted: %+v", results)
	}
	p.take(nil, a, answer(message{cookie: p.cookie, sequence: 7}))
	if results, _ := p.Results(); results[a].RoundTrip == 0 {
		t.Error("our own is not counted")
	}
}

// Among many peers each is asked seldom, and its path is looked for all the same;
// one that goes is told before all that it ever answered is forgotten.
func TestManyPeers(t *testing.T) {
	round := Round(200)
	if round != 20*time.Second || Round(3) != time.Second {
		t.Errorf("200 peers are asked in %v, 3 in %v", round, Round(3))
	}
	now := time.Unix(1e9, 0)
	p := &peer{}
	for i := uint32(1); i <= remember; i++ {
		if i > 1 && !p.heard(now, round) {
			t.Fatal("a peer that answers is not heard")
		}
		p.ping(i, now)
		p.answered(i, now.Add(time.Millisecond))
		now = now.Add(round)
	}
	for i := range uint32(4) {
		if r := p.result(now, round); r.Silent != (i == 3) {
			t.Errorf("after %d pings without an answer: %+v", i, r)
		}
		p.ping(100+i, now)
		now = now.Add(round)
	}
	if p.heard(now, round) {
		t.Error("a peer that is gone is heard")
	}
}
