package overlay

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// MeshVersion is the version of a Mesh's form on disk.
const MeshVersion = 1

// Mesh is what this machine holds to be true: its own pod subnets and its peers.
// It is what is kept on disk and applied again at boot, without the API.
type Mesh struct {
	Version int            `json:"version"`
	UID     string         `json:"uid,omitempty"` // of this machine's Node
	Subnets []netip.Prefix `json:"subnets,omitempty"`
	Peers   []Peer         `json:"peers,omitempty"`
}

// Peer is another machine, admitted.
type Peer struct {
	UID      string         `json:"uid"` // of its Node, by which it is known: a name may come back as another machine
	Name     string         `json:"name"`
	Key      Key            `json:"key"`
	Next     Key            `json:"next_key,omitzero"` // takes over with its first handshake
	Endpoint netip.AddrPort `json:"endpoint"`
	Subnets  []netip.Prefix `json:"subnets"` // whose packets are accepted from it, and which are routed to it
}

// Seen returns the mesh with the endpoints at which an earlier status has peers
// whose sessions may be in use: where a peer is behind a NAT, there may be no way
// to what it announces.
func (m Mesh) Seen(s Status, now time.Time) Mesh {
	m.Peers = slices.Clone(m.Peers)
	for i, p := range m.Peers {
		for _, was := range s.Peers {
			if was.UID == p.UID && was.Key == p.Key && was.Endpoint.IsValid() && Alive(was.Handshake, now) {
				m.Peers[i].Endpoint = was.Endpoint
			}
		}
	}
	return m
}

// Admit returns the mesh that follows from an older one and all Nodes there are
// after a full sync, with a sentence for everything that was refused.
//
// What was admitted first stays: a Node that claims another's key or subnet is
// refused, whole, and one that changes for the worse keeps what it had. A peer
// goes only when its Node is gone while this machine's own Node is there; a list
// without it is of an API that lost its memory, and no reason to cut a network.
func Admit(c Config, self Key, old Mesh, nodes []Node) (Mesh, []string) {
	a := admission{config: c, self: self, mesh: Mesh{Version: MeshVersion, UID: old.UID, Subnets: old.Subnets}}
	byUID := map[string]bool{}
	own := -1
	for i, n := range nodes {
		if n.UID == "" || byUID[n.UID] {
			a.refuse(n, fmt.Errorf("its UID %q is empty or another's", n.UID))
			continue
		}
		byUID[n.UID] = true
		if n.Name == c.Node {
			own = i
		}
	}
	for _, p := range old.Peers {
		if own < 0 || byUID[p.UID] {
			a.mesh.Peers = append(a.mesh.Peers, p)
		}
	}
	if own < 0 {
		a.problems = append(a.problems, fmt.Sprintf("node %s: it is not registered yet, or was deleted; the network stays as it is", c.Node))
		return a.mesh, a.problems
	}
	a.own(nodes[own])

	// Incumbents first, so that a change of theirs is weighed before a newcomer;
	// then by age, so that all machines decide alike.
	order := slices.Clone(nodes)
	slices.SortStableFunc(order, func(x, y Node) int {
		if d := cmp.Compare(a.rank(x), a.rank(y)); d != 0 {
			return d
		}
		if d := x.Created.Compare(y.Created); d != 0 {
			return d
		}
		return cmp.Compare(x.UID, y.UID)
	})
	seen := map[string]bool{}
	for _, n := range order {
		if n.Name == c.Node || n.UID == "" || seen[n.UID] {
			continue
		}
		seen[n.UID] = true
		a.peer(n)
	}
	slices.SortFunc(a.mesh.Peers, func(x, y Peer) int { return cmp.Compare(x.UID, y.UID) })
	return a.mesh, a.problems
}

type admission struct {
	config   Config
	self     Key
	mesh     Mesh
	problems []string
}

func (a *admission) refuse(n Node, err error) {
	a.problems = append(a.problems, fmt.Sprintf("node %s: refused: %v", n.Name, err))
}

// rank is 0 for a peer already admitted and 1 for a newcomer.
func (a *admission) rank(n Node) int {
	if a.index(n.UID) >= 0 {
		return 0
	}
	return 1
}

func (a *admission) index(uid string) int {
	return slices.IndexFunc(a.mesh.Peers, func(p Peer) bool { return p.UID == uid })
}

func (a *admission) own(n Node) {
	if len(n.PodCIDRs) == 0 {
		return // not assigned yet
	}
	subnets, err := parseSubnets(a.config.Pods, n.PodCIDRs)
	if err == nil {
		err = a.free(subnets, "")
	}
	if err != nil {
		a.refuse(n, err)
		return
	}
	a.mesh.UID, a.mesh.Subnets = n.UID, subnets
}

func (a *admission) peer(n Node) {
	if n.Announcement == "" || len(n.PodCIDRs) == 0 {
		return // still joining, or it keeps what it had
	}
	said, err := parseAnnouncement(n.Announcement)
	if err != nil {
		a.refuse(n, err)
		return
	}
	subnets, err := parseSubnets(a.config.Pods, n.PodCIDRs)
	if err == nil {
		err = a.free(subnets, n.UID)
	}
	if err == nil {
		err = a.unused(said.PublicKey, n.UID)
	}
	if err == nil && said.NextKey != (Key{}) {
		err = a.unused(said.NextKey, n.UID)
	}
	if err != nil {
		a.refuse(n, err)
		return
	}
	p := Peer{UID: n.UID, Name: n.Name, Key: said.PublicKey, Next: said.NextKey, Endpoint: said.Endpoint, Subnets: subnets}
	if i := a.index(n.UID); i >= 0 {
		a.mesh.Peers[i] = p
	} else {
		a.mesh.Peers = append(a.mesh.Peers, p)
	}
}

// unused reports who else has the key.
func (a *admission) unused(key Key, uid string) error {
	if key == a.self {
		return fmt.Errorf("it announces this machine's own public key")
	}
	for _, p := range a.mesh.Peers {
		if p.UID != uid && (p.Key == key || p.Next == key) {
			return fmt.Errorf("it announces the public key of %s, which came first", p.Name)
		}
	}
	return nil
}

// free reports who else owns one of the subnets; uid is "" for this machine.
func (a *admission) free(subnets []netip.Prefix, uid string) error {
	for _, s := range subnets {
		if uid != "" && overlaps(a.mesh.Subnets, s) {
			return fmt.Errorf("its subnet %v overlaps this machine's", s)
		}
		for _, p := range a.mesh.Peers {
			if p.UID != uid && overlaps(p.Subnets, s) {
				return fmt.Errorf("its subnet %v overlaps that of %s, which came first", s, p.Name)
			}
		}
	}
	return nil
}

func overlaps(prefixes []netip.Prefix, s netip.Prefix) bool {
	return slices.ContainsFunc(prefixes, s.Overlaps)
}

// parseSubnets reads a Node's podCIDRs: one of each range at most, with the
// range's mask.
func parseSubnets(ranges []Range, podCIDRs []string) ([]netip.Prefix, error) {
	var subnets []netip.Prefix
	taken := make([]bool, len(ranges))
	for _, text := range podCIDRs {
		s, err := netip.ParsePrefix(text)
		if err != nil || s != s.Masked() {
			return nil, fmt.Errorf("its subnet %q is not a prefix without host bits", text)
		}
		i := slices.IndexFunc(ranges, func(r Range) bool { return r.Prefix.Bits() <= s.Bits() && r.Prefix.Contains(s.Addr()) })
		if i < 0 {
			return nil, fmt.Errorf("its subnet %v is outside the cluster's pod range", s)
		}
		if want := ranges[i].NodeMask; s.Bits() != want {
			return nil, fmt.Errorf("its subnet %v is not a /%d, as every node's of %v is", s, want, ranges[i].Prefix)
		}
		if taken[i] {
			return nil, fmt.Errorf("it has two subnets of %v", ranges[i].Prefix)
		}
		taken[i] = true
		subnets = append(subnets, s)
	}
	return subnets, nil
}
