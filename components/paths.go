package components

import "path"

// Where things are on a machine. Nothing of ours lies elsewhere but the unit
// files, upstream's own paths (/var/lib/kubelet, /var/log/pods,
// /var/log/containers) and what an action's Touches declare.
const (
	Root     = "/opt/provision"     // binaries; one folder for each bundle, one for each agent
	Etc      = "/etc/provision"     // configs and identities
	PKI      = Etc + "/pki"         // 0700
	State    = "/var/lib/provision" // etcd, containerd, journal, overlay
	Run      = "/run/provision"     // sockets
	Journal  = State + "/journal"   // what was there before us
	Units    = "/etc/systemd/system"
	UnitName = "provision-" // every unit of ours begins so

	// PresharedKey is the overlay's, where the cluster has one: secret, 0600, the
	// same on every machine.
	PresharedKey = Etc + "/overlay.psk"

	// Fenced is there while everything of ours on the machine is stopped on purpose,
	// and is not to come back by itself; see components/fence.
	Fenced = Etc + "/fenced.json"
)

// BundleDir returns the folder that the bundle is unpacked to.
func (c Cluster) BundleDir() string { return path.Join(Root, c.Bundle.ID) }

// Agent returns the path of the agent's binary. It is named by content, so that
// another Kubernetes version with the same agent leaves the agent's units alone.
func (c Cluster) Agent() string {
	sum := c.Bundle.Files["bin/agent"]
	if len(sum) > 12 {
		sum = sum[:12]
	}
	return path.Join(Root, "agent-"+sum, "agent")
}
