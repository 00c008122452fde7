package worker

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"time"

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
	n.File(balancerFile, 0o644, document(apibalancer.For(c, m.Role)))
	// It reads its file again by itself: a restart would cut every connection to the API.
	n.Unit(balancer, func(sum string) []byte {
		return templates.BalancerService(templates.Balancer{Process: n.process(c.Agent(), sum)})
	})

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
	return n.interruption(n.Actions())
}

// interruption has the plan say what switching the pre-shared key means. That
// it is switched shows where the file is what it would be without.
func (n node) interruption(all []components.Action) []components.Action {
	note := "the pre-shared key comes into use; until that is so on every machine, pods of different ones may not reach each other, for some seconds"
	if !n.c.Overlay.PSK {
		note = "the pre-shared key goes out of use; until that is so on every machine, pods of different ones may not reach each other, for some seconds"
	}
	n.c.Overlay.PSK = !n.c.Overlay.PSK
	if n.f.Files[overlayFile].SHA256 != components.Sum(document(n.mesh())) {
		return all
	}
	for i, action := range all {
		if file, is := action.(actions.File); is && file.Path == overlayFile {
			file.Note = note
			all[i] = file
		}
	}
	return all
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
	if n.c.Network.Dual() {
		config.Pods = append(config.Pods, mesh.Range{Prefix: n.c.Network.Pods6, NodeMask: n.c.Network.NodeMask6})
		config.Services = append(config.Services, n.c.Network.Services6)
	}
	config.Mode = mesh.Kernel
	if Userspace(n.c, n.f) {
		config.Mode = mesh.Userspace
	}
	config.Port = n.c.Overlay.Port
	if config.Port == 0 {
		config.Port = mesh.DefaultPort
	}
	config.MTU = n.c.Overlay.MTU
	config.Endpoint = n.m.Endpoint
	if n.c.Overlay.PSK {
		config.PresharedKeyFile = components.PresharedKey
	}
	config.KeepaliveSeconds = int(n.c.Overlay.Keepalive / time.Second)
	config.NoOffloads = breaksOffloads(n.f.Kernel)
	if n.c.Overlay.Offloads != nil {
		config.NoOffloads = !*n.c.Overlay.Offloads
	}
	return config
}

// release finds a kernel's version in its name: "7.0.0-rc3", "6.12.43+deb13-amd64".
var release = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?`)

// breaksOffloads says that the kernel is one that sends segments of large UDP
// packets wrong: 7.0 to 7.1.4, which 7.1.5 mended.
func breaksOffloads(kernel string) bool {
	var version [3]int
	for i, digits := range release.FindStringSubmatch(kernel) {
		if i > 0 && digits != "" {
			version[i-1], _ = strconv.Atoi(digits) // four digits
		}
	}
	return slices.Compare(version[:], []int{7, 0, 0}) >= 0 && slices.Compare(version[:], []int{7, 1, 4}) <= 0
}

// Listen is where a machine's balancer answers, for preflight.
func Listen(c components.Cluster) []netip.AddrPort {
	return apibalancer.For(c, components.Worker).Listen
}

func document(value any) []byte {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		panic(err) // plain data always marshals
	}
	return append(text, '\n')
}
