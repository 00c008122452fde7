package plan

import (
	"fmt"
	"slices"
	"strings"

	"provision/components"
	"provision/overlay"
)

// Ports that components use for themselves, on loopback or for health checks.
const (
	portEtcdMetrics       = 2381
	portKubeletHealth     = 10248
	portProxyMetrics      = 10249
	portProxyHealth       = 10256
	portControllerManager = 10257
	portScheduler         = 10259
)

// ports are the TCP ports that a machine of that role needs.
func ports(role components.Role) []int {
	needed := []int{components.PortKubelet, components.PortBalancer, portKubeletHealth, portProxyMetrics, portProxyHealth}
	if role == components.Master {
		needed = append(needed, components.PortAPI, components.PortEtcdClient, components.PortEtcdPeer,
			portEtcdMetrics, portControllerManager, portScheduler)
	}
	return needed
}

// checkPorts finds strangers on the ports that we need. Once a machine runs
// units of ours, those are taken to be the listeners. An address that is neither
// the machine's nor everybody's nor loopback's is in nobody's way.
func checkPorts(c components.Cluster, m components.MachineSpec, f components.Facts) string {
	if len(f.Units) > 0 {
		return ""
	}
	needed := ports(m.Role)
	var taken []string
	for _, l := range f.Listening {
		port, addr := int(l.Addr.Port()), l.Addr.Addr()
		// The overlay's agent listens on addresses that only pods reach: whoever is on
		// the machine's own is in nobody's way.
		agents := port == overlay.AgentPort && addr.IsUnspecified()
		if !agents && (l.Proto == "tcp" && !slices.Contains(needed, port) || l.Proto == "udp" && port != c.Overlay.Port) {
			continue
		}
		if addr != m.Address && !addr.IsUnspecified() && !addr.IsLoopback() {
			continue
		}
		whose := fmt.Sprintf("%s port %d", strings.ToUpper(l.Proto), port)
		if l.Process != "" {
			whose += " by " + l.Process
		}
		if !slices.Contains(taken, whose) {
			taken = append(taken, whose)
		}
	}
	if len(taken) == 0 {
		return ""
	}
	slices.Sort(taken)
	return "has ports taken that the cluster needs: " + strings.Join(taken, ", ") + "; stop what listens there, or move it"
}
