package host

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// protocol marks our routes ("proto 80" in "ip route"). Nothing in iproute2's
// list or in common routing daemons has it.
const protocol = 80

// EnsureRoutes writes the routes that differ, removes those of ours that should
// not be, and those of others that take packets from pods (overlay.TakesAway):
// it names the latter.
func EnsureRoutes(want []overlay.Route, pods []netip.Prefix) (taken []string, err error) {
	have, others, err := routes(pods)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, o := range others {
		if !overlay.TakesAway(o.Route, want, pods) {
			continue
		}
		if err := netlink.RouteDel(&o.found); err != nil {
			errs = append(errs, fmt.Errorf("a route takes packets from pods: %s: remove it: %w", o, err))
			continue
		}
		taken = append(taken, o.String())
	}
	write, remove := overlay.DiffRoutes(have, want)
	for _, r := range remove {
		if err := removeRoute(r); err != nil {
			errs = append(errs, fmt.Errorf("remove the route to %v: %w", r.Prefix, err))
		}
	}
	for _, r := range write {
		if err := writeRoute(r, have); err != nil {
			errs = append(errs, fmt.Errorf("route %v: %w", r.Prefix, err))
		}
	}
	return taken, errors.Join(errs...)
}

// stranger is a route of somebody else.
type stranger struct {
	overlay.Route
	found netlink.Route
}

// String is nearly what "ip route" prints.
func (s stranger) String() string {
	text := s.Prefix.String()
	if s.Unreachable() {
		text = "unreachable " + text
	}
	if s.found.Gw != nil {
		text += " via " + s.found.Gw.String()
	}
	if s.Device != "" {
		text += " dev " + s.Device
	}
	return text + " proto " + s.found.Protocol.String()
}

// routes returns those of ours, and those of others within pods' ranges. The
// rest, which may be all of the internet's, are passed over.
func routes(pods []netip.Prefix) (ours []overlay.Route, others []stranger, err error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	names := map[int]string{}
	take := func(r netlink.Route) bool {
		route := overlay.Route{Prefix: prefixOf(r.Dst), Metric: r.Priority}
		within := func(p netip.Prefix) bool { return p.Bits() <= route.Prefix.Bits() && p.Contains(route.Prefix.Addr()) }
		if r.Protocol != protocol && !slices.ContainsFunc(pods, within) {
			return true
		}
		if r.Src != nil {
			addr, _ := netip.AddrFromSlice(r.Src)
			route.Source = addr.Unmap()
		}
		if r.Type == unix.RTN_UNICAST {
			if _, known := names[r.LinkIndex]; !known {
				names[r.LinkIndex] = fmt.Sprintf("link %d", r.LinkIndex)
				if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
					names[r.LinkIndex] = link.Attrs().Name
				}
			}
			route.Device = names[r.LinkIndex]
		}
		if r.Protocol == protocol {
			ours = append(ours, route)
		} else {
			others = append(others, stranger{route, r})
		}
		return true
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		if err := netlink.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, take); err != nil {
			return nil, nil, fmt.Errorf("list routes: %w", err)
		}
	}
	return ours, others, nil
}

func writeRoute(r overlay.Route, have []overlay.Route) error {
	route, err := netlinkRoute(r)
	if err != nil {
		return err
	}
	for _, h := range have {
		if h.Prefix == r.Prefix && h.Metric == r.Metric {
			return netlink.RouteReplace(route)
		}
	}
	err = netlink.RouteAdd(route)
	if errors.Is(err, unix.EEXIST) {
		return errors.New("there is one already which is not ours: remove it, or choose other ranges")
	}
	return err
}

func removeRoute(r overlay.Route) error {
	// To a removal, "nowhere" means any scope.
	route := &netlink.Route{Dst: ipNet(r.Prefix), Table: unix.RT_TABLE_MAIN, Protocol: protocol, Priority: r.Metric, Scope: netlink.SCOPE_NOWHERE}
	if r.Unreachable() {
		route.Type = unix.RTN_UNREACHABLE
	}
	return netlink.RouteDel(route)
}

func netlinkRoute(r overlay.Route) (*netlink.Route, error) {
	route := &netlink.Route{Dst: ipNet(r.Prefix), Table: unix.RT_TABLE_MAIN, Protocol: protocol, Priority: r.Metric}
	if r.Unreachable() {
		route.Type = unix.RTN_UNREACHABLE
		return route, nil
	}
	link, err := find(r.Device)
	if link == nil {
		return nil, errors.Join(err, fmt.Errorf("%s is not there", r.Device))
	}
	route.LinkIndex, route.Scope = link.Attrs().Index, netlink.SCOPE_LINK
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	return route, nil
}
