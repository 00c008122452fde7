// Package etcd runs one etcd member on every master, and decides how a master
// gets into the cluster of the others: the first begins it, every other one is
// added as a learner, catches up and is promoted, one at a time. The
// certificates are pki's.
package etcd

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/failover"
	"provision/components/pki"
	"provision/templates"
)

// Where things of etcd are on a master.
const (
	configFile = components.Etc + "/etcd.yaml"
	dataFolder = components.State + "/etcd"

	// EntryFile says how a member without data gets into its cluster; the member
	// removes it once it has. See components/node.
	EntryFile = components.State + "/stamps/etcd-entry.json"
	// BegunFile stays. A master that has it, and neither data nor an entry, has
	// lost its store.
	BegunFile = components.State + "/stamps/etcd"
)

// begun is that file's content.
const begun = "this machine is, or was, a member of the cluster's etcd\n"

// Unit is etcd's unit.
var Unit = actions.Service("etcd")

// Actions put a member's configuration and unit in place and start it: with a
// new store where it begins the cluster. One that is to join is not started: see
// Join.
func Actions(c components.Cluster, m components.MachineSpec, f components.Facts, step Step) []components.Action {
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
	}, append(pki.Reads(d, c, pki.EtcdCA), configFile)...)
	switch step {
	case Begin:
		d.File(EntryFile, 0o600, entryText(true, map[string]string{m.Name: Peer(m)}))
		d.File(BegunFile, 0o600, []byte(begun))
		d.Start(false, Unit)
	case Serve:
		d.File(BegunFile, 0o600, []byte(begun))
		d.Start(false, Unit)
	}
	return d.Actions()
}

// Peer is the URL at which the other members reach a master's.
func Peer(m components.MachineSpec) string {
	return "https://" + net.JoinHostPort(m.Address.String(), strconv.Itoa(components.PortEtcdPeer))
}

func host(addr netip.Addr) string {
	if addr.Is6() {
		return "[" + addr.String() + "]"
	}
	return addr.String()
}
