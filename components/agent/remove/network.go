package remove

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/removal"
	"provision/overlay"
	"provision/overlay/agent"
	"provision/overlay/host"
	"provision/overlay/rules"
)

// kernel is the network of this process's namespace.
type kernel struct {
	root string // prefix of the overlay's files
}

// deletePorts deletes the pods' links. They would go with their namespaces, but
// those are taken apart later than a person looks.
func (kernel) deletePorts() ([]string, error) {
	bridge, err := netlink.LinkByName(overlay.Bridge)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if bridge.Attrs().Alias != host.Alias {
		return nil, nil // somebody else's bridge of that name
	}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var removed []string
	var problems []error
	for _, link := range links {
		a := link.Attrs()
		if a.MasterIndex != bridge.Attrs().Index || link.Type() != "veth" {
			continue
		}
		if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			problems = append(problems, fmt.Errorf("%s: %w", a.Name, err))
			continue
		}
		removed = append(removed, "link "+a.Name)
	}
	return removed, errors.Join(problems...)
}

// deleteOverlay has the overlay undo itself, kernel parameters too. Without its
// configuration (a machine that was only half made) its links and routes are
// known by their mark.
func (k kernel) deleteOverlay() ([]string, error) {
	removed, err := k.deleteMesh()
	withdrawn, dockerErr := rules.WithdrawDocker()
	if withdrawn {
		removed = append(removed, "firewall rule in DOCKER-USER for what pods send", "firewall rule in DOCKER-USER for what they are sent")
	}
	return removed, errors.Join(err, dockerErr)
}

func (k kernel) deleteMesh() ([]string, error) {
	text, err := durable.Read(filepath.Join(k.root, components.Etc, "overlay.json"), maxInput)
	if err != nil {
		return host.Remove()
	}
	config, err := overlay.ParseConfig(text)
	if err != nil {
		return host.Remove()
	}
	config.StateDir = filepath.Join(k.root, config.StateDir)
	config.CNIConf = filepath.Join(k.root, config.CNIConf)
	return agent.Remove(config)
}

var families = map[string]nftables.TableFamily{
	"ip": nftables.TableFamilyIPv4, "ip6": nftables.TableFamilyIPv6, "inet": nftables.TableFamilyINet,
	"bridge": nftables.TableFamilyBridge, "arp": nftables.TableFamilyARP, "netdev": nftables.TableFamilyNetdev,
}

func (kernel) deleteTable(table removal.Table) (bool, error) {
	conn, present, err := find(table)
	if err != nil || present == nil {
		return false, err
	}
	conn.DelTable(present)
	return true, conn.Flush()
}

// deleteRules knows whose a rule is by its comment, in which CNI's plugin portmap
// writes the container's id. Rules without one only lead to those.
func (kernel) deleteRules(table removal.Table, containers []string) (deleted []string, others int, err error) {
	conn, present, err := find(table)
	if err != nil || present == nil {
		return nil, 0, err
	}
	chains, err := conn.ListChainsOfTableFamily(present.Family)
	if err != nil {
		return nil, 0, err
	}
	for _, chain := range chains {
		if chain.Table.Name != present.Name {
			continue
		}
		rules, err := conn.GetRules(present, chain)
		if err != nil {
			return nil, 0, err
		}
		for _, rule := range rules {
			container, ok := userdata.GetString(rule.UserData, userdata.TypeComment)
			switch {
			case !ok:
			case slices.Contains(containers, container):
				if err := conn.DelRule(rule); err != nil {
					return nil, 0, err
				}
				deleted = append(deleted, container)
			default:
				others++
			}
		}
	}
	if len(deleted) == 0 {
		return nil, others, nil
	}
	if err := conn.Flush(); err != nil {
		return nil, others, err
	}
	return deleted, others, nil
}

// find looks for a table; it is nil where there is none.
func find(table removal.Table) (*nftables.Conn, *nftables.Table, error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, nil, err
	}
	tables, err := conn.ListTablesOfFamily(families[table.Family])
	if err != nil {
		return nil, nil, err
	}
	for _, present := range tables {
		if present.Name == table.Name {
			return conn, present, nil
		}
	}
	return conn, nil, nil
}

func (kernel) deleteAddress(address removal.Address) (bool, error) {
	link, err := netlink.LinkByName(address.Link)
	if err != nil {
		return false, err
	}
	ip, prefix, err := net.ParseCIDR(address.Prefix)
	if err != nil {
		return false, err
	}
	prefix.IP = ip
	err = netlink.AddrDel(link, &netlink.Addr{IPNet: prefix})
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return false, nil
	}
	return err == nil, err
}
