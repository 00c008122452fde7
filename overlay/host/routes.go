package host

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/overlay"
)

// protocol marks our routes ("proto 80" in "ip route"): nobody else's are looked
// at or touched. Nothing in iproute2's list or in common routing daemons has it.
const protocol = 80

// EnsureRoutes writes the routes that differ, and removes those of ours that
// should not be.
func EnsureRoutes(want []overlay.Route) error {
	have, err := routes()
	if err != nil {
		return err
	}
	write, remove := overlay.DiffRoutes(have, want)
	var errs []error
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
	return errors.Join(errs...)
}

// routes returns those of ours.
func routes() ([]overlay.Route, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: protocol}
	names := map[int]string{}
	var have []overlay.Route
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range list {
			route := overlay.Route{Prefix: prefixOf(r.Dst), Metric: r.Priority}
			if r.Src != nil {
				addr, _ := netip.AddrFromSlice(r.Src)
				route.Source = addr.Unmap()
			}
			if r.Type != unix.RTN_UNREACHABLE {
				if _, known := names[r.LinkIndex]; !known {
					names[r.LinkIndex] = fmt.Sprintf("link %d", r.LinkIndex)
					if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil {
						names[r.LinkIndex] = link.Attrs().Name
					}
				}
				route.Device = names[r.LinkIndex]
			}
			have = append(have, route)
		}
	}
	return have, nil
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
