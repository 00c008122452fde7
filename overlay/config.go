package overlay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
)

// The devices. Their names are part of the product: they are what a person
// sees in "ip link".
const (
	Bridge = "bridge0"
	Tunnel = "wg0"
)

// Mode says who encrypts.
type Mode string

// The modes. Auto is resolved on the machine, by asking its kernel.
const (
	Auto      Mode = "auto"
	Kernel    Mode = "kernel"
	Userspace Mode = "userspace"
)

// DefaultPort is WireGuard's usual UDP port.
const DefaultPort = 51820

// Overhead is what the tunnel takes from the path's MTU, in bytes: outer IPv6
// header 40, UDP 8, WireGuard 32. IPv4 would need 20 less; one number keeps
// every node of a mixed underlay alike.
const Overhead = 80

// DefaultKeepalive is in seconds: less than the 30 for which the quickest
// firewalls remember a UDP flow.
const DefaultKeepalive = 25

// AgentPort is where the agents of all machines find each other, on addresses
// that only the tunnel leads to: UDP for overlay/ping, TCP for metrics.
const AgentPort = 51821

// MinMTU is the smallest MTU that carries IPv6, and the smallest accepted.
const MinMTU = 1280

// defaultRunDir is where the agent tells how it is.
const defaultRunDir = "/run/provision/overlay"

// Range is an address range of pods and how it is cut: every node owns one
// prefix of NodeMask bits of it.
type Range struct {
	Prefix   netip.Prefix `json:"prefix"`
	NodeMask int          `json:"node_mask"`
}

// Config is what one machine's agent is told: a file, written by the
// provisioner from the cluster file alone.
type Config struct {
	Node     string         `json:"node"`               // this machine's Node
	Address  netip.Addr     `json:"address"`            // where peers reach it
	Endpoint netip.AddrPort `json:"endpoint,omitzero"`  // announced in place of address and port, behind NAT
	Mode     Mode           `json:"mode"`               //
	Port     int            `json:"port"`               // UDP
	MTU      int            `json:"mtu,omitempty"`      // of wg0, bridge0 and pods; 0: the path's less Overhead
	Pods     []Range        `json:"pods"`               // at most one of each family
	Services []netip.Prefix `json:"services,omitempty"` // routed to bridge0, where kube-proxy meets them

	// KeepaliveSeconds between packets that hold a NAT's mapping open, and the
	// session alive, so that no pod's first packet waits for a handshake; 0: none.
	KeepaliveSeconds int `json:"keepalive_seconds,omitempty"`
	// NoOffloads turns segmentation offloads of the userspace device off, for
	// kernels which get them wrong.
	NoOffloads bool `json:"no_offloads,omitempty"`

	Kubeconfig     string `json:"kubeconfig,omitempty"`      // reads Nodes
	NodeKubeconfig string `json:"node_kubeconfig,omitempty"` // writes this machine's own Node
	StaticNodes    string `json:"static_nodes,omitempty"`    // a file of nodes, in place of Kubernetes

	// PresharedKeyFile holds a secret that goes into every handshake; "": none.
	PresharedKeyFile string `json:"preshared_key_file,omitempty"`

	StateDir string `json:"state_dir"`          // key, checkpoint: survives a reboot
	RunDir   string `json:"run_dir"`            // status
	CNIConf  string `json:"cni_conf,omitempty"` // written once the node's subnet is known; "": not written
}

// Default returns the configuration of a machine with everything at its usual
// place.
func Default(node string, address netip.Addr, pods Range, services netip.Prefix) Config {
	return Config{
		Node:     node,
		Address:  address,
		Mode:     Auto,
		Port:     DefaultPort,
		Pods:     []Range{pods},
		Services: []netip.Prefix{services},

		KeepaliveSeconds: DefaultKeepalive,

		Kubeconfig:     "/etc/provision/agent.kubeconfig",
		NodeKubeconfig: "/etc/provision/kubelet.kubeconfig",
		StateDir:       "/var/lib/provision/overlay",
		RunDir:         defaultRunDir,
		CNIConf:        "/etc/provision/cni/10-provision.conflist",
	}
}

// ParseConfig reads a configuration and checks it. A field it does not know is
// an error: the file and the agent come from the same hand.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// Validate reports every mistake at once.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Node == "" {
		wrong("node is empty: it names this machine's Node")
	}
	if !c.Address.IsValid() || c.Address.IsUnspecified() || c.Address.IsLoopback() || c.Address.IsMulticast() {
		wrong("address %v is not one that other machines can reach", c.Address)
	}
	switch c.Mode {
	case Auto, Kernel, Userspace:
	default:
		wrong("mode %q is none of auto, kernel and userspace", c.Mode)
	}
	if c.Port < 1 || c.Port > 65535 {
		wrong("port %d is outside 1-65535", c.Port)
	}
	if c.MTU != 0 && (c.MTU < MinMTU || c.MTU > 65535) {
		wrong("mtu %d is outside %d-65535; 0 takes it from the route", c.MTU, MinMTU)
	}
	if c.KeepaliveSeconds < 0 || c.KeepaliveSeconds > 65535 {
		wrong("keepalive_seconds %d is outside 0-65535", c.KeepaliveSeconds)
	}
	if len(c.Pods) == 0 {
		wrong("pods is empty: it holds the pod range of at least one family")
	}
	for i, r := range c.Pods {
		if err := r.validate(); err != nil {
			wrong("pods: %w", err)
			continue
		}
		for _, other := range c.Pods[:i] {
			if other.Prefix.Addr().Is4() == r.Prefix.Addr().Is4() {
				wrong("pods: %v and %v are of one family", other.Prefix, r.Prefix)
			}
		}
		for _, s := range c.Services {
			if s.Overlaps(r.Prefix) {
				wrong("services %v overlaps pods %v", s, r.Prefix)
			}
		}
		if r.Prefix.Contains(c.Address) {
			wrong("address %v lies in pods %v", c.Address, r.Prefix)
		}
	}
	for _, s := range c.Services {
		if !s.IsValid() || s != s.Masked() {
			wrong("services %v is not a prefix without host bits", s)
		}
	}
	if (c.Kubeconfig == "") == (c.StaticNodes == "") {
		wrong("either kubeconfig or static_nodes says where nodes come from, not both")
	}
	if c.PresharedKeyFile != "" && !filepath.IsAbs(c.PresharedKeyFile) {
		wrong("preshared_key_file %q is not an absolute path", c.PresharedKeyFile)
	}
	for name, dir := range map[string]string{"state_dir": c.StateDir, "run_dir": c.RunDir} {
		if !filepath.IsAbs(dir) {
			wrong("%s %q is not an absolute path", name, dir)
		}
	}
	return errors.Join(errs...)
}

func (r Range) validate() error {
	if !r.Prefix.IsValid() || r.Prefix != r.Prefix.Masked() {
		return fmt.Errorf("%v is not a prefix without host bits", r.Prefix)
	}
	// A node needs an address for bridge0, one for wg0 and some for pods; three
	// bits are the least that is of any use.
	if most := r.Prefix.Addr().BitLen() - 3; r.NodeMask < r.Prefix.Bits() || r.NodeMask > most {
		return fmt.Errorf("node_mask %d of %v is outside %d-%d", r.NodeMask, r.Prefix, r.Prefix.Bits(), most)
	}
	return nil
}
