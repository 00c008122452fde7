// Package worker runs what every machine runs, masters too: the balancer before
// the API servers, the overlay, kubelet and kube-proxy. The container runtime
// is package runtime's; the Node's labels and taints are addons'.
package worker

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"provision/components"
	"provision/components/actions"
	"provision/components/failover"
	"provision/components/pki"
	"provision/components/runtime"
	"provision/templates"
)

// The files that the processes read when they start.
const (
	kubeletFile  = components.Etc + "/kubelet.yaml"
	proxyFile    = components.Etc + "/proxy.yaml"
	balancerFile = components.Etc + "/balancer.json"
	overlayFile  = components.Etc + "/overlay.json"
	resolvFile   = components.Etc + "/resolv.conf"

	kubeletKubeconfig = components.Etc + "/kubelet.kubeconfig"
	proxyKubeconfig   = components.Etc + "/proxy.kubeconfig"
	agentKubeconfig   = components.Etc + "/agent.kubeconfig"
)

// The units.
var (
	kubelet   = actions.Service("kubelet")
	proxy     = actions.Service("proxy")
	balancer  = actions.Service("balancer")
	overlay   = actions.Service("overlay")
	wireguard = actions.Service("wireguard")
)

// Actions put kubelet's and kube-proxy's files in place and start them, after
// Network, which writes the kubeconfig that kubelet shares with the overlay. It is
// quickest when the API is ready and the machine's Node there (addons.Nodes):
// kubelet's first registration and kube-proxy's look for its Node back off for
// seconds when they come too early.
func Actions(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	foreign := foreignServing(c, f)
	if foreign {
		f = Forgotten(f) // so that it is restarted
	}
	n := node{Draft: actions.NewDraft("worker", f), c: c, m: m, f: f, settings: failover.From(c.Detect, c.Evict)}
	if foreign {
		n.Add(DropServing{})
	}
	n.kubelet()
	n.proxy()
	// They are waited for: where kubelet does not start with its settings, no other
	// machine is to go the same way.
	n.Start(true, kubelet, proxy)
	if foreign {
		n.Add(AwaitServing{Agent: c.Agent(), Authority: c.Trust[pki.ClusterCA].Signs})
	}
	return n.Actions()
}

// Forgotten are the facts of a machine whose Node somebody deleted: its kubelet, if it
// runs, is to begin anew. A Node that is made for it has what kubelet gives it only when
// it registers: its labels for the system, and what volumes need.
func Forgotten(f components.Facts) components.Facts {
	if have := f.Units[kubelet]; have.Active == "active" {
		have.Stale = true
		f.Units = maps.Clone(f.Units)
		f.Units[kubelet] = have
	}
	return f
}

// node is one machine while it is drafted.
type node struct {
	*actions.Draft
	c        components.Cluster
	m        components.MachineSpec
	f        components.Facts
	settings failover.Settings
}

func (n node) process(binary, sum string, environment ...string) templates.Process {
	return templates.Process{
		Binary:      binary,
		Environment: slices.Concat(n.settings.Environment(), environment),
		Sum:         sum,
		LowerOOM:    n.f.LowerOOM,
	}
}

func (n node) binary() string { return n.c.BundleDir() + "/bin/node" }

// viaBalancer is the API as everything but a master's own components reaches it.
var viaBalancer = "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(components.PortBalancer))

func (n node) kubeconfig(server, leaf string) []byte {
	return templates.KubeconfigYAML(templates.Kubeconfig{Cluster: n.c.Name, Server: server, Leaf: leaf})
}

// kubeletAccess is kubelet's kubeconfig. On a master it names the master's own
// API server: a kubelet is never newer than that while masters are upgraded one
// by one.
func (n node) kubeletAccess() []byte {
	server := viaBalancer
	if n.m.Role == components.Master {
		server = "https://" + net.JoinHostPort(n.m.Address.String(), strconv.Itoa(components.PortAPI))
	}
	return n.kubeconfig(server, "kubelet")
}

func (n node) kubelet() {
	n.Known(kubeletKubeconfig, n.kubeletAccess())
	n.File(kubeletFile, 0o600, templates.KubeletYAML(templates.KubeletConfig{
		Address:         n.m.Address,
		Domain:          n.c.Network.Domain,
		DNS:             n.c.Network.ServiceAddress(10),
		ResolvConf:      n.resolvConf(),
		CgroupDriver:    runtime.CgroupDriver(n.f),
		LowerOOM:        n.f.LowerOOM,
		LeaseSeconds:    n.settings.LeaseSeconds,
		StatusFrequency: n.settings.StatusFrequency.String(),
		Taints:          taints(n.m),
		Settings:        n.m.Kubelet,
	}))
	n.Unit(kubelet, func(sum string) []byte {
		return templates.KubeletService(templates.Kubelet{
			Process:   n.process(n.binary(), sum, runtime.Path(n.c), "GOGC=75"),
			Name:      n.m.Name,
			Addresses: n.m.Addresses(),
		})
	}, append(pki.Settled(n.Draft, n.c), kubeletFile, kubeletKubeconfig)...)
}

// resolvConf is the machine's real one, or one of ours that asks nobody.
func (n node) resolvConf() string {
	if n.f.ResolvConf != "" {
		return n.f.ResolvConf
	}
	n.File(resolvFile, 0o644, templates.ResolvConfFile(templates.ResolvConf{Nobody: components.NodeAPI}))
	return resolvFile
}

func taints(m components.MachineSpec) []templates.Taint {
	var taints []templates.Taint
	for _, t := range m.NodeTaints() {
		taints = append(taints, templates.Taint(t))
	}
	return taints
}

// nodePorts keeps kube-proxy from serving NodePorts at every address that a machine
// has of a family in which its Node has none: "primary" says nothing of that
// family. Loopback is no address to it at all.
func (n node) nodePorts() []netip.Prefix {
	if !n.c.Network.Dual() || n.m.Address6.IsValid() {
		return nil
	}
	nowhere := netip.IPv6Loopback()
	if n.m.Address.Is6() {
		nowhere = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return []netip.Prefix{netip.PrefixFrom(n.m.Address, n.m.Address.BitLen()), netip.PrefixFrom(nowhere, nowhere.BitLen())}
}

func (n node) proxy() {
	n.File(proxyKubeconfig, 0o600, n.kubeconfig(viaBalancer, "proxy"))
	n.File(proxyFile, 0o600, templates.ProxyYAML(templates.ProxyConfig{
		Name:      n.m.Name,
		Address:   n.m.Address,
		Pods:      n.c.Network.PodRanges(),
		NodePorts: n.nodePorts(),
		Settings:  n.m.Proxy,
		LowerOOM:  n.f.LowerOOM,
	}))
	n.Unit(proxy, func(sum string) []byte {
		return templates.ProxyService(templates.Proxy{Process: n.process(n.binary(), sum, runtime.Path(n.c), "GOGC=75")})
	}, append(pki.Settled(n.Draft, n.c), proxyFile, proxyKubeconfig)...)
}
