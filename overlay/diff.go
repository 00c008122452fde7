package overlay

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// DiffRoutes returns the routes to add, or to put in the place of one of the
// same prefix and metric, and those to remove. Removals that a write already
// replaces are not listed.
func DiffRoutes(have, want []Route) (write, remove []Route) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			write = append(write, w)
		}
	}
	for _, h := range have {
		kept := slices.ContainsFunc(want, func(w Route) bool {
			return w.Prefix == h.Prefix && w.Metric == h.Metric
		})
		if !kept {
			remove = append(remove, h)
		}
	}
	return write, remove
}

// TakesAway says that a route of somebody else takes packets from ours and has to
// go. One that leads pods' addresses elsewhere carries nothing: the rules drop
// what follows it. So nobody loses by its removal, be it the prefix of a peer, a
// part of it, or of nobody yet. One that refuses, as ours does what no peer has,
// is in the way only where ours carries.
func TakesAway(stranger Route, want []Route, pods []netip.Prefix) bool {
	inside := func(p netip.Prefix) bool {
		return p.Bits() <= stranger.Prefix.Bits() && p.Contains(stranger.Prefix.Addr())
	}
	if !slices.ContainsFunc(pods, inside) {
		return false
	}
	for _, r := range want {
		switch {
		case r.Prefix == stranger.Prefix && r.Metric == stranger.Metric && stranger.Device != "":
			return true // it is in the place of ours
		case stranger.Unreachable() && !r.Unreachable() && inside(r.Prefix):
			return true
		}
	}
	return !stranger.Unreachable() && stranger.Device != Bridge && stranger.Device != Tunnel
}

// DevicePeer is a peer as WireGuard has it.
type DevicePeer struct {
	Key              Key
	Endpoint         netip.AddrPort // invalid: none
	Subnets          []netip.Prefix
	KeepaliveSeconds int
	Handshake        time.Time // of the last one; zero: none yet
	Received, Sent   int64     // bytes
}

// PeerChange is one difference. Only what is set is written.
type PeerChange struct {
	Key      Key
	Remove   bool
	Add      bool
	Endpoint netip.AddrPort // invalid: as it is
	Subnets  []netip.Prefix // nil: as they are
	// KeepaliveSeconds is -1 where it stays as it is.
	KeepaliveSeconds int
}

// fresh is how long after a handshake a session is certainly alive: WireGuard
// rejects one that is older.
const fresh = 180 * time.Second

// Written is what this process last wrote for a peer, and where it last saw it.
type Written struct {
	Endpoint netip.AddrPort
	Added    time.Time // zero: the peer was there already
	Seen     netip.AddrPort
	At       time.Time // of the handshake there; zero: none
	Lost     time.Time // when the device was first seen without it; zero: it has it
}

// recall is how long a device that lost its session with a peer asks where the
// peer was seen: WireGuard asks again after 5 seconds.
const recall = 6 * time.Second

// recalled says whether the peer is to be asked where it was seen.
func (w Written) recalled(now time.Time) bool {
	return Alive(w.At, now) && (w.Lost.IsZero() || now.Sub(w.Lost) < recall)
}

// Alive says whether a session which began with a handshake then may be in use.
func Alive(handshake, now time.Time) bool {
	return !handshake.IsZero() && now.Sub(handshake) < fresh
}

// Courtesy is how long a machine leaves the first handshake to the other side.
const Courtesy = 500 * time.Millisecond

// DiffPeers returns what to change so that a device has the peers that it
// should: removals first, so that a subnet is free before it is given to another.
//
// A peer which is as it should be is not touched at all: writing it again would
// reset its session. An endpoint that has roamed stays while the session is
// alive, unless the announced one changed; a device that lost the session begins
// there, since behind a NAT there may be no way to the announced one.
//
// Two machines learn of each other at the same moment, and a keepalive begins a
// handshake. Two that cross on the way spoil each other, and the pair is cut for
// 5 seconds or 15. So the smaller key begins, and the other sets its keepalive
// when the handshake is done, or Courtesy has passed.
func DiffPeers(self Key, have []DevicePeer, want Device, written map[Key]Written, now time.Time) []PeerChange {
	var changes []PeerChange
	peers := entries(have, want)
	for _, h := range have {
		if !slices.ContainsFunc(peers, func(e entry) bool { return e.key == h.Key }) {
			changes = append(changes, PeerChange{Key: h.Key, Remove: true, KeepaliveSeconds: -1})
		}
	}
	for _, w := range peers {
		i := slices.IndexFunc(have, func(h DevicePeer) bool { return h.Key == w.key })
		if i < 0 {
			add := PeerChange{Key: w.key, Add: true, Endpoint: w.endpoint, Subnets: w.subnets, KeepaliveSeconds: w.keepalive}
			if last := written[w.key]; last.Endpoint == w.endpoint && last.recalled(now) {
				add.Endpoint = last.Seen
			}
			if !begins(self, w.key) {
				add.KeepaliveSeconds = -1
			}
			changes = append(changes, add)
			continue
		}
		h, c := have[i], PeerChange{Key: w.key, KeepaliveSeconds: -1}
		last, known := written[w.key]
		if h.Endpoint != w.endpoint {
			alive := Alive(h.Handshake, now) || h.Endpoint == last.Seen && last.recalled(now)
			if !alive || known && last.Endpoint != w.endpoint {
				c.Endpoint = w.endpoint
			}
		}
		if !samePrefixes(h.Subnets, w.subnets) {
			c.Subnets = w.subnets
		}
		waits := h.Handshake.IsZero() && !begins(self, w.key) && now.Sub(last.Added) < Courtesy
		if h.KeepaliveSeconds != w.keepalive && !waits {
			c.KeepaliveSeconds = w.keepalive
		}
		if c.Endpoint.IsValid() || c.Subnets != nil || c.KeepaliveSeconds >= 0 {
			changes = append(changes, c)
		}
	}
	return changes
}

// entry is a peer as the device should have it. A machine whose key is about to
// change is two of them.
type entry struct {
	key       Key
	endpoint  netip.AddrPort
	subnets   []netip.Prefix // never nil
	keepalive int            // seconds
}

// entries gives every machine's subnets to the key that shook hands last. The
// other one, with neither subnets nor keepalive, only answers.
func entries(have []DevicePeer, want Device) []entry {
	last := map[Key]time.Time{}
	for _, h := range have {
		last[h.Key] = h.Handshake
	}
	var list []entry
	for _, p := range want.Peers {
		subnets := p.Subnets
		if subnets == nil {
			subnets = []netip.Prefix{}
		}
		speaks := entry{p.Key, p.Endpoint, subnets, want.KeepaliveSeconds}
		if p.Next == (Key{}) {
			list = append(list, speaks)
			continue
		}
		answers := entry{p.Next, p.Endpoint, []netip.Prefix{}, 0}
		if last[p.Next].After(last[p.Key]) {
			speaks.key, answers.key = answers.key, speaks.key
		}
		list = append(list, answers, speaks)
	}
	return list
}

func begins(self, peer Key) bool { return bytes.Compare(self[:], peer[:]) < 0 }

func samePrefixes(x, y []netip.Prefix) bool {
	if len(x) != len(y) {
		return false
	}
	for _, p := range x {
		if !slices.Contains(y, p) {
			return false
		}
	}
	return true
}
