package host

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"

	"provision/overlay"
)

// Remove takes away our routes, bridge0 and wg0, and says what it took. Links
// that are not ours stay.
func Remove() (removed []string, err error) {
	var errs []error
	list, _, err := routes(nil)
	if err != nil {
		errs = append(errs, err)
	}
	for _, r := range list {
		if err := removeRoute(r); err != nil {
			errs = append(errs, fmt.Errorf("remove the route to %v: %w", r.Prefix, err))
			continue
		}
		removed = append(removed, fmt.Sprintf("route %v", r.Prefix))
	}
	for _, name := range []string{overlay.Tunnel, overlay.Bridge} {
		link, err := find(name)
		if err != nil {
			errs = append(errs, err)
		}
		if link == nil || link.Attrs().Alias != Alias {
			continue
		}
		if err := netlink.LinkDel(link); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", name, err))
			continue
		}
		removed = append(removed, "link "+name)
	}
	return removed, errors.Join(errs...)
}
