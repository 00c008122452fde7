package worker

import (
	"encoding/json"
	"net/netip"
	"slices"

	"provision/components"
	"provision/components/actions"
	apibalancer "provision/components/balancer"
	"provision/components/failover"
	mesh "provision/overlay"
	"provision/templates"
)

// Network puts the balancer and the overlay in place and starts them. Both
// manage without the API: they can be started before there is one.
func Network(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	n := node{Draft: actions.NewDraft("network", f), c: c, m: m, f: f, settings: failover.From(c.Detect, c.Evict)}
	units := []string{balancer, overlay}
	n.File(balancerFile, 0o644, document(apibalancer.For(c)))
	n.Unit(balancer, func(sum string) []byte {
		return templates.BalancerService(templates.Balancer{Process: n.process(c.Agent(), sum)})
	}, balancerFile)

	// The overlay reads with the agent's identity and writes its own Node with kubelet's.
	n.File(agentKubeconfig, 0o600, n.kubeconfig(viaBalancer, "agent"))
	n.File(kubeletKubeconfig, 0o600, n.kubeletAccess())
	n.File(overlayFile, 0o644, document(n.mesh()))
	n.Unit(overlay, func(sum string) []byte {
		return templates.OverlayService(templates.Overlay{Process: n.process(c.Agent(), sum)})
	}, overlayFile, agentKubeconfig, kubeletKubeconfig)
	n.Unit(wireguard, func(sum string) []byte {
		return templates.WireGuardService(templates.WireGuard{Process: n.process(c.Agent(), sum)})
	}, overlayFile)
	if Userspace(c, f) {
		units = slices.Insert(units, 1, wireguard)
	} else {
		// A kernel that has WireGuard by now: the process would end at once, and be started again for ever.
		n.Stop(wireguard)
	}
	n.Start(false, units...)
	return n.Actions()
}

// Userspace says that this machine's WireGuard is a process of ours.
func Userspace(c components.Cluster, f components.Facts) bool {
	switch mesh.Mode(c.Overlay.Mode) {
	case mesh.Userspace:
		return true
	case mesh.Kernel:
		return false
	default:
		return !f.Modules["wireguard"]
	}
}

// mesh is the overlay's file. The mode is settled here, where the unit is, so
// that the two cannot disagree.
func (n node) mesh() mesh.Config {
	pods := mesh.Range{Prefix: n.c.Network.Pods, NodeMask: n.c.Network.NodeMask}
	config := mesh.Default(n.m.Name, n.m.Address, pods, n.c.Network.Services)
	config.Mode = mesh.Kernel
	if Userspace(n.c, n.f) {
		config.Mode = mesh.Userspace
	}
	config.Port = n.c.Overlay.Port
	if config.Port == 0 {
		config.Port = mesh.DefaultPort
	}
	config.MTU = n.c.Overlay.MTU
	return config
}

// Listen is where a machine's balancer answers, for preflight.
func Listen(c components.Cluster) []netip.AddrPort { return apibalancer.For(c).Listen }

func document(value any) []byte {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(err) // plain data always marshals
	}
	return append(text, '\n')
}
