package components

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Role is what a machine is in the cluster.
type Role string

// The roles. A master runs everything that a worker does, and more.
const (
	Master Role = "master"
	Worker Role = "worker"
)

// Cluster is what is wanted, complete: every default filled in, every name and
// number checked. It is made from the cluster file by provisioner/config and
// provisioner/plan, and holds no secret.
type Cluster struct {
	Name    string
	Version string // of Kubernetes, without a leading v: "1.36.3"
	Bundle  Bundle
	Network Network
	Overlay Overlay
	Addons  Addons
	Detect  time.Duration // a dead machine is noticed after this; whole seconds
	Evict   time.Duration // and its pods are replaced this much later; whole seconds
	// Endpoint is "host:port", a name or an address at which people outside reach
	// the API, and which is in the API servers' certificates; "": none.
	Endpoint string
	// ExtraSANs are more names and addresses in the API servers' certificates.
	ExtraSANs []string
	Flags     Flags
	// Registries in the order of the file.
	Registries []Registry
	// MaxUnavailable is how many workers may be interrupted at once.
	MaxUnavailable Amount
	// Emulate is the earlier minor version, "1.35", that the control plane behaves as
	// while an upgrade can be taken back; "": its own.
	Emulate string
	// Lifetime is how long the machines' certificates live; 0 is a year.
	Lifetime time.Duration
	// Trust is what verifies certificates of each authority, by its name. It follows from
	// what the masters have; empty where they have none yet.
	Trust map[string]Trust
	// Own are the user's addons, in the order of the file.
	Own []Addon
	// Machines in the order of the file. The first master is where secrets are born.
	Machines []MachineSpec
}

// Trust is certificates in PEM.
type Trust struct {
	All     string // those that verify: while an authority is replaced, both
	Settled string // the one that verified before a change began, until it ends
	Signs   string // SHA-256 (hex) of the one that signs
}

// Flags are more flags for the control plane's components, in the order of their names.
type Flags struct {
	APIServer, ControllerManager, Scheduler []Flag
}

// Flag is one flag; Name has no dashes before it.
type Flag struct{ Name, Value string }

// Registry says where images of one registry come from.
type Registry struct {
	Host       string   // as images' names begin: "docker.io", "registry.example.org:5000"
	Mirrors    []string // URLs, tried in this order before the registry itself
	CA         string   // certificates in PEM for the mirrors, or where there are none for the registry itself
	SkipVerify bool     // do not check theirs at all
}

// Amount is a number, or a percentage of something. One of them is zero.
type Amount struct{ Count, Percent int }

// Of is the amount as a number of so many: rounded up, at least one, and no more
// than there are.
func (a Amount) Of(total int) int {
	n := a.Count
	if a.Percent > 0 {
		n = (total*a.Percent + 99) / 100
	}
	return max(1, min(n, total))
}

// Network is the cluster's address plan.
type Network struct {
	Pods     netip.Prefix // every node owns one /NodeMask of it
	NodeMask int
	Services netip.Prefix
	Domain   string // "cluster.local"

	// The same of IPv6, where the cluster is dual-stack; else all zero. IPv4 is
	// always there, and comes first.
	Pods6     netip.Prefix
	NodeMask6 int
	Services6 netip.Prefix
}

// Dual says that pods and Services have addresses of both families.
func (n Network) Dual() bool { return n.Pods6.IsValid() }

// Settled is what a cluster that runs cannot change of its network, by the names
// that the cluster file has for it.
func (n Network) Settled() map[string]string {
	settled := map[string]string{
		"pods": list(n.PodRanges()), "node_mask": strconv.Itoa(n.NodeMask), "services": list(n.ServiceRanges()), "domain": n.Domain}
	if n.Dual() {
		settled["node_mask6"] = strconv.Itoa(n.NodeMask6)
	}
	return settled
}

func list(ranges []netip.Prefix) string {
	var texts []string
	for _, p := range ranges {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, ", ")
}

// PodRanges are the ranges of pods, IPv4 first.
func (n Network) PodRanges() []netip.Prefix { return present(n.Pods, n.Pods6) }

// ServiceRanges are the ranges of Services, IPv4 first.
func (n Network) ServiceRanges() []netip.Prefix { return present(n.Services, n.Services6) }

func present(ranges ...netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(ranges, func(p netip.Prefix) bool { return !p.IsValid() })
}

// Overlay is how pods of different machines reach each other.
type Overlay struct {
	Mode string // "auto", "kernel" or "userspace"
	Port int    // UDP, WireGuard's
	MTU  int    // 0: from the route

	Keepalive time.Duration // between packets that keep NATs open; whole seconds; 0: none
	Offloads  *bool         // of the userspace device; nil: except on kernels that get them wrong
	PSK       bool          // a secret of the whole cluster goes into every handshake
}

// Addons says which of our own the cluster has.
type Addons struct {
	DNS     bool // CoreDNS
	Metrics bool // metrics-server
	Storage bool // local-path-provisioner
}

// Addon is one of the user's own, read and checked.
type Addon struct {
	Name      string // a DNS label
	Namespace string // of objects that name none
	Manifests []byte
	Objects   []Object // what they hold, each with a namespace
	Sum       string   // of all that it is made of, in hex
	Images    []Archive
}

// Archive is a file of images on the operator's computer.
type Archive struct {
	Path   string
	SHA256 string // hex
	Size   int64
}

// MachineSpec is one machine as wanted.
type MachineSpec struct {
	Name    string // its Node's name as well
	Role    Role
	Address netip.Addr // where the other machines reach it; on one of its links
	// Endpoint is where the others send WireGuard's packets for this machine,
	// where that is not Address and the overlay's port; else invalid.
	Endpoint netip.AddrPort
	// Address6 is an IPv6 address of its links which the Node has beside Address, where
	// the cluster is dual-stack. Zero: the Node has none, and its pods do all the same.
	Address6 netip.Addr
	Labels   map[string]string
	// Kubelet and Proxy are fields of a KubeletConfiguration and a KubeProxyConfiguration, laid
	// over ours, as JSON has them.
	Kubelet, Proxy map[string]any
	Sysctls        map[string]string // more kernel settings, by dotted name
	Taints         []Taint           // in the file's order; nil on a master means upstream's control-plane taint
	// How SSH reaches it, for the inventory alone: see Member.
	Login, HostKey string
}

// Taint is a Node's taint.
type Taint struct {
	Key, Value, Effect string
}

// ControlPlaneTaint is what upstream's tools give a master that should run no
// work but its own.
var ControlPlaneTaint = Taint{Key: "node-role.kubernetes.io/control-plane", Effect: "NoSchedule"}

// NodeTaints are the taints that the machine's Node is to have.
func (m MachineSpec) NodeTaints() []Taint {
	if m.Taints == nil && m.Role == Master {
		return []Taint{ControlPlaneTaint}
	}
	return m.Taints
}

// Bundle is what the chosen bundle holds, from its manifest.
type Bundle struct {
	ID     string            // "1.36.3-0123456789ab": version and the manifest's sum, the folder's name under Root
	Arch   string            // Go's name: "amd64"
	Files  map[string]string // SHA-256 (hex) of each file by its name in the bundle
	Images []Image
}

// Image is one image archive of the bundle.
type Image struct {
	Name string // reference: "provision.internal/pause:3.10"
	File string // its name in the bundle: "images/pause.tar"
}

// Addresses are those of the machine's Node, IPv4 first.
func (m MachineSpec) Addresses() []netip.Addr {
	if m.Address6.IsValid() {
		return []netip.Addr{m.Address, m.Address6}
	}
	return []netip.Addr{m.Address}
}

// Masters returns the machines with that role, in order.
func (c Cluster) Masters() []MachineSpec {
	var masters []MachineSpec
	for _, m := range c.Machines {
		if m.Role == Master {
			masters = append(masters, m)
		}
	}
	return masters
}

// EndpointHost is the name or address of Endpoint, or "".
func (c Cluster) EndpointHost() string {
	host, _, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return ""
	}
	return host
}

// FloatingAddress is Endpoint where that is an address which is no machine's own,
// so that any master may have it for a while (by VRRP, say); else invalid.
func (c Cluster) FloatingAddress() netip.AddrPort {
	endpoint, err := netip.ParseAddrPort(c.Endpoint)
	if err != nil {
		return netip.AddrPort{}
	}
	for _, m := range c.Machines {
		if slices.Contains(m.Addresses(), endpoint.Addr()) {
			return netip.AddrPort{}
		}
	}
	return endpoint
}

// Image returns the reference of a bundled image by its archive's base name
// without ".tar" ("pause"), or "" where the bundle has none.
func (c Cluster) Image(name string) string {
	for _, image := range c.Bundle.Images {
		if image.File == "images/"+name+".tar" {
			return image.Name
		}
	}
	return ""
}

// ServiceAddress returns the n-th address of the IPv4 service range: 1 is the
// API's, 10 is DNS's.
func (n Network) ServiceAddress(index int) netip.Addr { return nth(n.Services, index) }

// ServiceAddress6 is ServiceAddress for IPv6, and zero where there is none.
func (n Network) ServiceAddress6(index int) netip.Addr {
	if !n.Dual() {
		return netip.Addr{}
	}
	return nth(n.Services6, index)
}

func nth(of netip.Prefix, index int) netip.Addr {
	addr := of.Masked().Addr()
	for range index {
		addr = addr.Next()
	}
	return addr
}

// NodeAPI is the one address, the same on every machine and local to it, at
// which pods find their machine's API balancer. It is neither loopback nor
// link-local, which an EndpointSlice may not hold; 192.0.0.0/24 is set aside
// by RFC 6890 and routed nowhere.
var NodeAPI = netip.MustParseAddr("192.0.0.11")

// Ports that a machine needs.
const (
	PortAPI        = 6443
	PortEtcdClient = 2379
	PortEtcdPeer   = 2380
	PortKubelet    = 10250
	PortWireGuard  = 51820 // UDP, the default
	PortBalancer   = 6444  // on loopback and NodeAPI
)
