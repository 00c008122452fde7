// Package wire is what `agent sniff` is told, and what it answers: how many of
// the packets on a machine's own links are WireGuard's, and how many hold a text
// that pods exchange and that nobody outside of the tunnel should see.
//
// Who exchanges what is provisioner/verify's affair, how packets are looked at
// the agent's; here is only what both must agree on.
package wire

import (
	"fmt"
	"time"
)

// Bounds of one look.
const (
	Lifetime   = 30 * time.Second // a look ends after this, whoever forgot it
	MaxPackets = 2_000_000        // and after this many packets
	MaxBytes   = 4 << 30          // or bytes of them
	MaxLinks   = 256
)

// Ready is the first line of the answer: from now on nothing is missed.
const Ready = "ready"

// Request says what to look for.
type Request struct {
	Marker string `json:"marker"` // random text of 16 to 200 bytes
	Port   int    `json:"port"`   // UDP, the overlay's
}

// Check refuses what no provisioner asks. A short text is found by chance.
func (r Request) Check() error {
	if n := len(r.Marker); n < 16 || n > 200 {
		return fmt.Errorf("a marker of %d bytes is not one of 16 to 200", n)
	}
	if r.Port < 1 || r.Port > 65535 {
		return fmt.Errorf("port %d is outside 1-65535", r.Port)
	}
	return nil
}

// MaxRequest is the most that is read of a request, in bytes.
const MaxRequest = 4 << 10

// Report is what was seen.
type Report struct {
	Links []Link `json:"links"` // those that were looked at, which are never the overlay's own
	// Ended is why the look did not last until it was told to end; "" where it did.
	Ended string `json:"ended,omitempty"`
}

// Link is what was seen on one.
type Link struct {
	Name      string `json:"name"`
	Packets   int    `json:"packets"`   // all of them
	WireGuard int    `json:"wireguard"` // of the overlay's port
	Clear     int    `json:"clear"`     // hold the marker
	As        Kinds  `json:"clear_as"`  // of which kind those are
	Missed    int    `json:"missed"`    // came too fast to be looked at
}

// Kinds counts packets by what they are.
type Kinds struct {
	TCP4 int `json:"tcp4,omitempty"`
	UDP4 int `json:"udp4,omitempty"`
	TCP6 int `json:"tcp6,omitempty"`
	UDP6 int `json:"udp6,omitempty"`
}

// Names says which kinds there are any of.
func (k Kinds) Names() (names []string) {
	for _, kind := range []struct {
		name  string
		count int
	}{{"IPv4 TCP", k.TCP4}, {"IPv4 UDP", k.UDP4}, {"IPv6 TCP", k.TCP6}, {"IPv6 UDP", k.UDP6}} {
		if kind.count > 0 {
			names = append(names, kind.name)
		}
	}
	return names
}

// Sum adds the links up. A packet that passes two (a bond and its port) counts twice.
func (r Report) Sum() Link {
	var sum Link
	for _, l := range r.Links {
		sum.Packets += l.Packets
		sum.WireGuard += l.WireGuard
		sum.Clear += l.Clear
		sum.As.TCP4 += l.As.TCP4
		sum.As.UDP4 += l.As.UDP4
		sum.As.TCP6 += l.As.TCP6
		sum.As.UDP6 += l.As.UDP6
		sum.Missed += l.Missed
	}
	return sum
}
