package agent

import (
	"fmt"
	"net/netip"
	"time"

	"provision/overlay"
)

// measure has the peers asked, and adds to their statuses what they answered so
// far. It returns what is wrong.
func (a *agent) measure(mtu int, peers []overlay.PeerStatus) (problems []string) {
	local := overlay.PingAddress(a.mesh.Subnets)
	var targets []netip.AddrPort
	for _, p := range peers {
		if to := overlay.PingAddress(p.Subnets); to.IsValid() && local.IsValid() && to.Addr().Is4() == local.Addr().Is4() {
			targets = append(targets, to)
		}
	}
	a.pinger.Set(local, mtu, targets)
	results, err := a.pinger.Results()
	if err != nil {
		problems = append(problems, err.Error())
	}
	for i, p := range peers {
		to := overlay.PingAddress(p.Subnets)
		if to.IsValid() && local.IsValid() && to.Addr().Is4() != local.Addr().Is4() {
			problems = append(problems, fmt.Sprintf("nothing is measured to %s: its pods have no addresses of the family that is measured here", p.Name))
		}
		r, known := results[to]
		if !known {
			continue
		}
		peers[i].RoundTripMS = float64(r.RoundTrip) / float64(time.Millisecond)
		peers[i].Loss, peers[i].PathMTU, peers[i].Silent = r.Loss, r.PathMTU, r.Silent
		switch {
		case r.Silent:
			problems = append(problems, silence(p, time.Now()))
		case r.PathMTU > 0 && r.PathMTU < mtu:
			problems = append(problems, fmt.Sprintf("packets of %d bytes do not arrive at %s, of %d bytes they do: set overlay { mtu = %d } in the cluster file, or mend the path",
				mtu, p.Name, r.PathMTU, max(r.PathMTU, overlay.MinMTU)))
		}
	}
	return problems
}

// silence says what a peer's silence may come from. Who has another pre-shared key
// cannot be told from who is off: neither shakes hands.
func silence(p overlay.PeerStatus, now time.Time) string {
	text := fmt.Sprintf("%s does not answer through the tunnel: it is off, UDP port %d does not get through to %s", p.Name, p.Endpoint.Port(), p.Endpoint.Addr())
	firewall := fmt.Sprintf("a firewall there drops UDP port %d on %s", overlay.AgentPort, overlay.Tunnel)
	if overlay.Alive(p.Handshake, now) {
		return text + ", or " + firewall
	}
	return text + " (behind a NAT it needs an `endpoint` that leads in), its pre-shared key is not this machine's (`provision up` brings it), or " + firewall
}
