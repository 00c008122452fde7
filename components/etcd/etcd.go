// Package etcd runs one etcd member on every master. The certificates are
// pki's; the membership of a cluster that runs is not decided here.
package etcd

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/failover"
	"provision/templates"
)

const configFile = components.Etc + "/etcd.yaml"

// Unit is etcd's unit.
var Unit = actions.Service("etcd")

// Actions put a member's configuration and unit in place and start it.
func Actions(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master {
		return nil
	}
	d := actions.NewDraft("etcd", f)
	settings := failover.From(c.Detect, c.Evict)
	d.File(configFile, 0o600, templates.EtcdYAML(templates.EtcdConfig{
		Name:                  m.Name,
		Host:                  host(m.Address),
		ClientPort:            components.PortEtcdClient,
		PeerPort:              components.PortEtcdPeer,
		Members:               members(c, m),
		State:                 state(c, m),
		Token:                 c.Name,
		HeartbeatMilliseconds: int(settings.Heartbeat / time.Millisecond),
		ElectionMilliseconds:  int(settings.Election / time.Millisecond),
	}))
	d.Unit(Unit, func(sum string) []byte {
		return templates.EtcdService(templates.Etcd{Process: templates.Process{
			Binary:      c.BundleDir() + "/bin/node",
			Environment: []string{"GOGC=75"},
			Sum:         sum,
			LowerOOM:    f.LowerOOM,
		}})
	}, configFile)
	d.Start(false, Unit)
	return d.Actions()
}

// members are the masters up to this one, in the file's order: so the first
// begins alone, the next join one by one, and a master that is added at the
// end of the file changes nobody else's configuration.
func members(c components.Cluster, m components.MachineSpec) []templates.EtcdMember {
	var members []templates.EtcdMember
	for _, master := range c.Masters() {
		url := "https://" + net.JoinHostPort(master.Address.String(), strconv.Itoa(components.PortEtcdPeer))
		members = append(members, templates.EtcdMember{Name: master.Name, URL: url})
		if master.Name == m.Name {
			break
		}
	}
	return members
}

func state(c components.Cluster, m components.MachineSpec) string {
	if c.Masters()[0].Name == m.Name {
		return "new"
	}
	return "existing"
}

func host(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}
