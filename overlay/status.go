package overlay

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"text/tabwriter"
	"time"
)

// Status is how the overlay of one machine is: a file below /run, written anew
// every few seconds.
type Status struct {
	Node      string         `json:"node"`
	Updated   time.Time      `json:"updated"`
	Mode      Mode           `json:"mode"`
	PublicKey Key            `json:"public_key"`
	NextKey   Key            `json:"next_public_key,omitzero"` // prepared, and to take over soon
	Announced bool           `json:"announced"`                // the Node says both
	Preshared bool           `json:"preshared_key,omitempty"`  // a pre-shared key goes into every handshake
	MTU       int            `json:"mtu"`
	Subnets   []netip.Prefix `json:"subnets"`
	Peers     []PeerStatus   `json:"peers"`
	// Problems are sentences: what was refused, and what could not be done.
	Problems []string `json:"problems"`
}

// StatusFile is where a machine's agent writes its status, where nothing else was
// configured.
const StatusFile = defaultRunDir + "/" + StatusName

// StatusName is the file's name in the folder that the configuration names.
const StatusName = "status.json"

// ParseStatus reads what an agent wrote.
func ParseStatus(text []byte) (Status, error) {
	var s Status
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("%s: %w", StatusName, err)
	}
	return s, nil
}

// PeerStatus is how a peer is.
type PeerStatus struct {
	Name      string         `json:"name"`
	UID       string         `json:"uid"`
	Key       Key            `json:"public_key"`
	NextKey   Key            `json:"next_public_key,omitzero"` // known, and waiting for its first handshake
	Endpoint  netip.AddrPort `json:"endpoint"`                 // where it is now, which need not be what it announced
	Subnets   []netip.Prefix `json:"subnets"`
	Handshake time.Time      `json:"handshake,omitzero"` // of the last one; absent: none yet
	Received  int64          `json:"received_bytes"`
	Sent      int64          `json:"sent_bytes"`
	// What the agent measures through the tunnel. See overlay/ping.
	RoundTripMS float64 `json:"round_trip_ms,omitempty"` // absent: no answer came
	Loss        float64 `json:"loss"`                    // 0 to 1
	PathMTU     int     `json:"path_mtu,omitempty"`      // bytes; absent: not known yet
	Silent      bool    `json:"silent,omitempty"`        // it answers nothing
}

// PingAddress is where a machine with these subnets answers; invalid: nowhere yet.
// It is of IPv4 wherever there is that, so that machines agree on the family; the
// tunnel that is measured carries both.
func PingAddress(subnets []netip.Prefix) netip.AddrPort {
	if len(subnets) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(newSubnet(first(subnets)).Tunnel, AgentPort)
}

// MetricsAddress is where a machine with these subnets tells its metrics; invalid:
// nowhere yet.
func MetricsAddress(subnets []netip.Prefix) netip.AddrPort {
	if len(subnets) == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(newSubnet(first(subnets)).Bridge, AgentPort)
}

// first is the first subnet of IPv4, or of all where there is none.
func first(subnets []netip.Prefix) netip.Prefix {
	if i := slices.IndexFunc(subnets, func(p netip.Prefix) bool { return p.Addr().Is4() }); i >= 0 {
		return subnets[i]
	}
	return subnets[0]
}

// Stale is how old a status may be before its writer counts as gone.
const Stale = 20 * time.Second

// PeerStatuses joins what a mesh says of peers with what a device does.
func PeerStatuses(m Mesh, device []DevicePeer) []PeerStatus {
	list := []PeerStatus{}
	for _, p := range m.Peers {
		s := PeerStatus{Name: p.Name, UID: p.UID, Key: p.Key, NextKey: p.Next, Endpoint: p.Endpoint, Subnets: p.Subnets}
		for _, d := range device {
			if (d.Key == p.Key || d.Key == p.Next) && !d.Handshake.Before(s.Handshake) {
				s.Handshake, s.Received, s.Sent = d.Handshake, d.Received, d.Sent
				if d.Endpoint.IsValid() {
					s.Endpoint = d.Endpoint
				}
			}
		}
		list = append(list, s)
	}
	return list
}

// Print writes a status for people.
func (s Status) Print(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "%s: %s WireGuard, MTU %d, subnets %v, %d peers\n", s.Node, s.Mode, s.MTU, s.Subnets, len(s.Peers))
	if age := now.Sub(s.Updated); age > Stale {
		fmt.Fprintf(w, "this is %v old: the overlay agent does not run\n", age.Round(time.Second))
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Peers) > 0 {
		fmt.Fprintln(table, "PEER\tENDPOINT\tSUBNETS\tHANDSHAKE\tRECEIVED\tSENT")
	}
	for _, p := range s.Peers {
		handshake := "never"
		if !p.Handshake.IsZero() {
			handshake = now.Sub(p.Handshake).Round(time.Second).String() + " ago"
		}
		fmt.Fprintf(table, "%s\t%v\t%v\t%s\t%d\t%d\n", p.Name, p.Endpoint, p.Subnets, handshake, p.Received, p.Sent)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, problem := range s.Problems {
		if _, err := fmt.Fprintln(w, "!", problem); err != nil {
			return err
		}
	}
	return nil
}
