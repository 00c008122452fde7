// Package mesh puts together what the machines' overlay agents say of each other:
// one picture of the tunnels, as data, as Graphviz text and as SVG.
//
// It asks nobody: the statuses come from the machines through provisioner/cli,
// and are not believed further than they print. view prints the table.
package mesh

import (
	"fmt"
	"slices"
	"time"

	"provision/overlay"
)

// Mesh is every machine of the file and every tunnel between two of them, each
// way, in the file's order.
type Mesh struct {
	Cluster  string    `json:"cluster"`
	Machines []Machine `json:"machines"`
	Tunnels  []Tunnel  `json:"tunnels"`
}

// Machine is one end.
type Machine struct {
	Name     string   `json:"name"`
	Mode     string   `json:"mode,omitempty"` // "kernel" or "userspace"
	MTU      int      `json:"mtu,omitempty"`  // bytes; of wg0, bridge0 and pods
	Subnets  []string `json:"subnets,omitempty"`
	Key      string   `json:"public_key,omitempty"`
	Problems []string `json:"problems"`
}

// Tunnel is what one machine measures to another.
type Tunnel struct {
	From         string  `json:"from"`
	To           string  `json:"to"`
	State        State   `json:"state"`
	Endpoint     string  `json:"endpoint,omitempty"`
	HandshakeAge float64 `json:"handshake_age_seconds,omitempty"` // absent: none yet
	RoundTripMS  float64 `json:"round_trip_ms,omitempty"`
	Loss         float64 `json:"loss"`               // 0 to 1
	PathMTU      int     `json:"path_mtu,omitempty"` // bytes; absent: not known
	Received     int64   `json:"received_bytes"`
	Sent         int64   `json:"sent_bytes"`
}

// State is a tunnel in a word.
type State string

// The states, from good to bad.
const (
	Well    State = "well"
	Narrow  State = "narrow"   // full-size packets do not arrive
	Lossy   State = "lossy"    // more than a tenth of the pings got no answer
	Silent  State = "silent"   // nothing is answered
	NoPeer  State = "no peer"  // the machine does not know the other one
	Unknown State = "not seen" // the machine does not say
)

// lossy is the share of lost pings above which a tunnel is.
const lossy = 0.1

// Seen is what a machine said, or why it did not.
type Seen struct {
	Status overlay.Status
	Now    time.Time // by the machine's own clock
	Err    error
}

// Of makes the mesh of the machines named, of which every one has been asked.
func Of(cluster string, names []string, seen map[string]Seen) Mesh {
	m := Mesh{Cluster: cluster, Machines: []Machine{}, Tunnels: []Tunnel{}}
	for _, name := range names {
		s := seen[name]
		machine := Machine{Name: name, Problems: []string{}}
		if s.Err != nil {
			machine.Problems = append(machine.Problems, s.Err.Error())
		} else {
			machine.Mode, machine.MTU, machine.Key = string(s.Status.Mode), s.Status.MTU, s.Status.PublicKey.String()
			for _, p := range s.Status.Subnets {
				machine.Subnets = append(machine.Subnets, p.String())
			}
			if age := s.Now.Sub(s.Status.Updated); age > overlay.Stale {
				machine.Problems = append(machine.Problems, fmt.Sprintf("its overlay agent does not run: it last spoke %s ago", age.Round(time.Second)))
			}
			machine.Problems = append(machine.Problems, s.Status.Problems...)
		}
		m.Machines = append(m.Machines, machine)
		for _, other := range names {
			if other != name {
				m.Tunnels = append(m.Tunnels, tunnel(name, other, s))
			}
		}
	}
	return m
}

func tunnel(from, to string, s Seen) Tunnel {
	t := Tunnel{From: from, To: to, State: Unknown}
	if s.Err != nil {
		return t
	}
	i := slices.IndexFunc(s.Status.Peers, func(p overlay.PeerStatus) bool { return p.Name == to })
	if i < 0 {
		t.State = NoPeer
		return t
	}
	p := s.Status.Peers[i]
	t.Endpoint, t.RoundTripMS, t.Loss, t.PathMTU, t.Received, t.Sent = p.Endpoint.String(), p.RoundTripMS, p.Loss, p.PathMTU, p.Received, p.Sent
	if !p.Handshake.IsZero() {
		t.HandshakeAge = max(s.Now.Sub(p.Handshake).Seconds(), 0)
	}
	switch {
	case p.Silent || p.RoundTripMS == 0:
		t.State = Silent
	case p.Loss > lossy:
		t.State = Lossy
	case p.PathMTU > 0 && p.PathMTU < s.Status.MTU:
		t.State = Narrow
	default:
		t.State = Well
	}
	return t
}

// Healthy says that every tunnel is well and no machine has a problem.
func (m Mesh) Healthy() bool {
	return !slices.ContainsFunc(m.Machines, func(x Machine) bool { return len(x.Problems) > 0 }) &&
		!slices.ContainsFunc(m.Tunnels, func(t Tunnel) bool { return t.State != Well })
}

// worse returns the worse of the two ways between each pair of machines.
func (m Mesh) worse() []Tunnel {
	var pairs []Tunnel
	for _, t := range m.Tunnels {
		i := slices.IndexFunc(pairs, func(p Tunnel) bool { return p.From == t.To && p.To == t.From })
		switch {
		case i < 0:
			pairs = append(pairs, t)
		case rank(t.State) > rank(pairs[i].State):
			pairs[i].State = t.State
		}
		if i >= 0 && pairs[i].RoundTripMS == 0 {
			pairs[i].RoundTripMS = t.RoundTripMS
		}
	}
	return pairs
}

func rank(s State) int { return slices.Index([]State{Well, Narrow, Lossy, Unknown, NoPeer, Silent}, s) }
