// Package config reads a cluster file: HCL in, plain Go values out, with every
// default filled in and every mistake found that can be found without asking a
// machine. It knows nothing of machines, bundles or plans, and imports nothing
// else of this project.
//
// What a mistake looks like to a person is part of its job: each carries its
// place in the file and a sentence that says what would be right, all are
// reported at once, and none twice.
package config

import (
	"net/netip"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// File is a cluster file, checked and complete.
type File struct {
	Path     string // as it was given to Load
	Cluster  Cluster
	Machines []Machine // in the order of the file; for_each in the order of its keys
	Addons   []Addon
	// SSH is the cluster's ssh block: how to reach a machine that the file does not name any more.
	SSH SSH
}

// Cluster is what is asked of the cluster as a whole.
type Cluster struct {
	Name     string
	Version  string // of Kubernetes without a leading v; "" means the newest bundle there is
	Network  Network
	Overlay  Overlay
	Addons   Addons
	API      API
	Failover Failover
	// Lifetime is how long certificates live; 0: a year.
	Lifetime time.Duration
	Verify   Verify
	Flags    Flags
	// Registries in the order of the file.
	Registries []Registry
	// MaxUnavailable is how many workers may be interrupted at once.
	MaxUnavailable Amount
}

// Amount is a number, or a percentage of something. One of them is zero.
type Amount struct{ Count, Percent int }

// Flags are more flags for the control plane's components, in the order of their names.
type Flags struct {
	APIServer, ControllerManager, Scheduler []Flag
}

// Flag is one flag; Name has no dashes before it.
type Flag struct{ Name, Value string }

// Registry says where images of one registry come from.
type Registry struct {
	Host    string   // as images' names begin: "docker.io", "registry.example.org:5000"
	Mirrors []string // URLs, tried in this order before the registry itself
	// CA are the certificates, in PEM, that mirrors are checked against, or where there
	// are none the registry itself; "": the machine's own.
	CA         string
	SkipVerify bool // do not check theirs at all
}

// Network is the cluster's address plan.
type Network struct {
	Pods     netip.Prefix
	NodeMask int // every machine owns one subnet of Pods, this many bits long
	Services netip.Prefix
	Domain   string

	// The same of IPv6, all zero where the file names none.
	Pods6     netip.Prefix
	NodeMask6 int
	Services6 netip.Prefix
}

// Overlay is how pods of different machines reach each other.
type Overlay struct {
	Mode string // "auto", "kernel" or "userspace"
	Port int    // UDP
	MTU  int    // of the tunnel; 0: from the route

	Keepalive time.Duration // between packets that keep NATs open; whole seconds; 0: none
	Offloads  *bool         // of the userspace device; nil: except on kernels that get them wrong
	PSK       bool          // a secret of the whole cluster goes into every handshake
}

// Addons says which of provision's own the cluster has.
type Addons struct {
	DNS     bool // CoreDNS
	Metrics bool // metrics-server
	Storage bool // local-path-provisioner
}

// Addon is one of the user's own. What its manifests say is not looked at here.
type Addon struct {
	Name      string // a DNS label
	Namespace string // of objects that name none
	Manifests []Manifest
	Chart     string         // absolute path of a chart's folder or archive; "": none
	Values    map[string]any // for the chart: whole numbers are int64, others float64
	Images    []string       // absolute paths of image archives
	// Place is where the file speaks of its chart or manifests, for Diagnostics.Refuse.
	Place hcl.Range
}

// Manifest is a file of objects.
type Manifest struct {
	Path string
	Text []byte
}

// API is how people and programs outside reach the API servers.
type API struct {
	// Endpoint is "host:port": a name, or an address that any master may have for a
	// while, or a load balancer's; "": each master's own address.
	Endpoint string
	// ExtraSANs are more names and addresses in the API servers' certificates.
	ExtraSANs []string
}

// Failover says how soon a dead machine's pods are replaced.
type Failover struct {
	Detect time.Duration // until the machine counts as dead; whole seconds
	Evict  time.Duration // from then until its pods are replaced; whole seconds
}

// Verify is what `provision verify` is told about the world outside.
type Verify struct {
	Outside string // "name:port" that pods must reach; "": see `provision verify --help`
}

// Role is what a machine is in the cluster.
type Role string

// The roles. A master also does what a worker does.
const (
	Master Role = "master"
	Worker Role = "worker"
)

// Machine is one machine. A machine block with for_each makes several.
type Machine struct {
	Name    string // its Node's name as well: a DNS label
	Role    Role
	Address netip.Addr // where the cluster reaches it; it must exist on the machine
	// Endpoint is where the other machines send WireGuard's packets for this one,
	// where that is not Address and the overlay's port; else invalid.
	Endpoint netip.AddrPort
	// Address6 is one of IPv6 that its Node has as well, in a cluster with both
	// families; zero: none.
	Address6 netip.Addr
	Labels   map[string]string
	Taints   []Taint // nil: nothing was said, which on a master means upstream's taint; empty: none
	SSH      SSH     // the cluster's ssh block and the machine's own, merged
	// Kubelet and Proxy are fields of a KubeletConfiguration and a KubeProxyConfiguration, as
	// JSON has them, and Sysctls kernel settings by their dotted names: the cluster's and the
	// machine's own, merged.
	Kubelet, Proxy map[string]any
	Sysctls        map[string]string
}

// Taint is a Node's taint.
type Taint struct {
	Key, Value, Effect string
}

// SSH is how the operator reaches one machine.
type SSH struct {
	Host string // a name or an address
	Port int
	User string
	// Keys are absolute paths of private keys, or of public ones whose private
	// part the agent holds. KeysGiven tells keys that the file names from
	// those that were found in ~/.ssh.
	Keys      []string
	KeysGiven bool
	Agent     bool // ask the agent at SSH_AUTH_SOCK
	// KnownHosts are absolute paths. AcceptNew appends unknown hosts to the first.
	KnownHosts []string
	HostKey    string // the only key to accept, as in authorized_keys; "" means known_hosts
	AcceptNew  bool
	Sudo       bool // become root by `sudo -n`
	// Bastions are passed through in order: the first is dialled directly. They
	// have no Bastions of their own.
	Bastions []SSH
}
