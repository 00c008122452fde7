package templates

import "net/netip"

// EtcdConfig is etcd.yaml.
type EtcdConfig struct {
	Name                  string
	Host                  string // the machine's address, in brackets where it is IPv6
	ClientPort, PeerPort  int
	Token                 string // the cluster's name
	HeartbeatMilliseconds int
	ElectionMilliseconds  int
}

// EtcdYAML returns etcd's configuration.
func EtcdYAML(v EtcdConfig) []byte { return render("etcd.yaml", v) }

// AuthenticationYAML returns who may ask the API server without a name.
func AuthenticationYAML() []byte { return render("authentication.yaml", nil) }

// AuditYAML returns what the API server writes down.
func AuditYAML() []byte { return render("audit.yaml", nil) }

// SchedulerYAML returns the scheduler's configuration.
func SchedulerYAML(v Election) []byte { return render("scheduler.yaml", v) }

// Kubeconfig is how one component of a machine reaches the API.
type Kubeconfig struct {
	Cluster string // its name
	Server  string // URL
	Leaf    string // whose certificate: a file's name in pki/, without its ending
}

// KubeconfigYAML returns a kubeconfig. It names keys and holds none.
func KubeconfigYAML(v Kubeconfig) []byte { return render("kubeconfig.yaml", v) }

// KubeletConfig is kubelet.yaml.
type KubeletConfig struct {
	Address         netip.Addr
	Domain          string
	DNS             netip.Addr // the Service that answers pods' questions
	ResolvConf      string     // a file with the machine's real DNS servers
	CgroupDriver    string     // "systemd" or "cgroupfs"
	LowerOOM        bool
	LeaseSeconds    int
	StatusFrequency string
	Taints          []Taint // to register with
	// Settings are laid over all this, as JSON has them.
	Settings map[string]any
}

// Taint is a Node's taint.
type Taint struct{ Key, Value, Effect string }

// KubeletYAML returns kubelet's configuration.
func KubeletYAML(v KubeletConfig) []byte { return withSettings(render("kubelet.yaml", v), v.Settings) }

// ResolvConf is resolv.conf.
type ResolvConf struct {
	Nobody netip.Addr // an address of the machine's own where no DNS server listens
}

// ResolvConfFile returns the resolver file of a machine that has none.
func ResolvConfFile(v ResolvConf) []byte { return render("resolv.conf", v) }

// ProxyConfig is proxy.yaml.
type ProxyConfig struct {
	Name    string // of the Node
	Address netip.Addr
	Pods    []netip.Prefix // at most one of each family
	// NodePorts are the addresses at which NodePorts are; none: the Node's own.
	NodePorts []netip.Prefix
	LowerOOM  bool
	// Settings are laid over all this, as JSON has them.
	Settings map[string]any
}

// ProxyYAML returns kube-proxy's configuration.
func ProxyYAML(v ProxyConfig) []byte { return withSettings(render("proxy.yaml", v), v.Settings) }

// ContainerdConfig is containerd.toml.
type ContainerdConfig struct {
	Socket        string
	Bundle        string // folder of the bundle
	Pause         string // image of every pod's sandbox
	LowerOOM      bool
	SystemdCgroup bool
}

// ContainerdTOML returns containerd's configuration.
func ContainerdTOML(v ContainerdConfig) []byte { return render("containerd.toml", v) }

// Hosts is hosts.toml: where containerd takes one registry's images from.
type Hosts struct {
	Mirrors    []Mirror // tried before the registry itself
	Server     string   // the registry's own URL, where something is said of it; else ""
	CA         string   // path of the certificates that the mirrors, or else Server, are checked against; "": the machine's own
	SkipVerify bool
}

// Mirror is one of a registry's.
type Mirror struct {
	URL  string
	Path bool // it has a path, which takes the place of the registry's own
}

// HostsTOML returns what containerd reads before each pull.
func HostsTOML(v Hosts) []byte { return render("hosts.toml", v) }

// Setting is one sysctl.
type Setting struct{ Name, Value string }

// Sysctls is sysctl.conf.
type Sysctls struct{ Settings []Setting }

// SysctlConf returns a file for sysctl.d.
func SysctlConf(v Sysctls) []byte { return render("sysctl.conf", v) }

// Modules is modules.conf.
type Modules struct{ Names []string }

// ModulesConf returns a file for modules-load.d.
func ModulesConf(v Modules) []byte { return render("modules.conf", v) }

// NetworkdNetwork returns what keeps systemd-networkd away from our links.
func NetworkdNetwork() []byte { return render("networkd.network", nil) }

// NetworkManagerConf returns what keeps NetworkManager away from our links.
func NetworkManagerConf() []byte { return render("networkmanager.conf", nil) }
