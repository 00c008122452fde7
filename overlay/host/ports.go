package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"

	"provision/overlay"
)

// Ports are the pods' links on bridge0.
type Ports struct {
	Bridge int    `json:"bridge"` // bridge0's index: another one is another bridge
	Links  []Port `json:"links"`
}

// Port is one of them. A link keeps its index for its life, and no other gets it.
type Port struct {
	Index int    `json:"index"`
	Name  string `json:"name"`
}

// Equal reports whether both are the same.
func (p Ports) Equal(o Ports) bool { return p.Bridge == o.Bridge && slices.Equal(p.Links, o.Links) }

// KeepPorts returns what is on bridge0. Where bridge0 was made anew, it puts the
// links back that were on the one before: the pods behind them know nothing of
// it, and the CNI plugin does not come again.
func KeepPorts(had Ports) (now Ports, restored []string, err error) {
	bridge, err := find(overlay.Bridge)
	if err != nil || bridge == nil {
		return had, nil, err
	}
	links, err := netlink.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return had, nil, fmt.Errorf("list links: %w", err)
	}
	now.Bridge = bridge.Attrs().Index
	var errs []error
	for _, link := range links {
		a := link.Attrs()
		port := Port{a.Index, a.Name}
		if a.MasterIndex == 0 && had.Bridge != 0 && had.Bridge != now.Bridge && slices.Contains(had.Links, port) {
			err := netlink.LinkSetMaster(link, bridge)
			if err == nil {
				err = netlink.LinkSetHairpin(link, true)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: put back on %s: %w", a.Name, overlay.Bridge, err))
				continue
			}
			restored = append(restored, a.Name)
			a.MasterIndex = now.Bridge
		}
		if a.MasterIndex == now.Bridge {
			now.Links = append(now.Links, port)
		}
	}
	if len(errs) > 0 {
		return had, restored, errors.Join(errs...) // to be tried again
	}
	return now, restored, nil
}
