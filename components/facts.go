package components

import (
	"net/netip"
	"time"
)

// Facts is what one machine is, as it said itself. Sizes were bounded and names
// checked on the way in; the values are still a machine's word.
type Facts struct {
	Hostname  string
	MachineID string
	BootID    string
	OS        OS
	Arch      string   // Go's name: "amd64"
	Kernel    string   // release: "6.1.0-30-cloud-amd64"
	Systemd   int      // version; 0: PID 1 is something else
	Cgroup    int      // 1 or 2; hybrid is 1
	Control   []string // names of the kernel's control group controllers; none where that is not known
	CPUs      int
	Memory    uint64   // bytes
	DiskFree  uint64   // bytes free below /var/lib
	RootFree  uint64   // bytes free below /opt where that is another file system; 0 where it is the same
	NoExec    bool     // programs below /opt may not be executed
	ReadOnly  []string // those of /opt, /etc and /var/lib that cannot be written to
	ClockSkew time.Duration
	SELinux   string // "", "permissive" or "enforcing"

	Addresses    []netip.Prefix  // of every link, loopback left out
	DefaultRoute bool            // IPv4
	Modules      map[string]bool // of those asked for: built in, loaded or loadable
	ModulesKnown bool            // the running kernel has its list of modules: what is not in Modules is not there
	ResolvConf   string          // the file with the real upstream servers; "" where none is usable
	LowerOOM     bool            // a process's OOM score can be lowered
	Listening    []Listener
	Foreign      []string   // sentences about bad neighbours ("k3s is installed")
	Firewalls    []Firewall // of others, that drop what they do not know
	Preshared    bool       // the overlay's configuration names a pre-shared key
	Overlay      []string   // what the overlay's agent says is wrong, a few sentences at most

	// What is there of ours. Files holds every file below Etc and State/stamps,
	// every unit of ours, and every other file an action may write.
	Bundles      []string            // folder names below Root whose unpacking finished, and that are whole, in the order in which they came
	Damaged      []string            // files of others, by their paths below Root
	Agents       map[string]bool     // paths of agents present
	BundleSums   map[string]bool     // SHA-256 (hex) of every file in those bundles, and of those that an interrupted upload brought
	Traces       []string            // those of Root, Etc and State that hold anything
	Files        map[string]FileFact // by path
	Units        map[string]UnitFact // by name, ours only
	Sysctls      map[string]string   // by dotted name, of those asked for
	Certificates map[string]CertFact // by name in PKI, "next/cluster-ca" too, from the agent, where there is one; "kubelet-server" is kubelet's own
	Cluster      string              // the name of the cluster that the machine was set up for, or ""
	Network      map[string]string   // what that cluster's network was then: see Network.Settled; nil where that is not known
	Address      netip.Addr          // the one that it was set up with; invalid where that is not known
	Etcd         EtcdFact
	Generation   uint64 // the highest lock generation the machine has seen
}

// OS is from os-release.
type OS struct {
	ID, VersionID, Pretty string
}

// Listener is one listening socket.
type Listener struct {
	Proto   string // "tcp" or "udp"
	Addr    netip.AddrPort
	Process string // its name, where known
}

// FileFact is what is known of a file's content without fetching it.
type FileFact struct {
	SHA256 string // hex
	Mode   uint32 // permission bits
}

// UnitFact is a unit's state.
type UnitFact struct {
	Active  string // "active", "inactive", "failed", "activating", ...
	Enabled bool
	Started time.Time // zero where it is not running
	Bundle  string    // the id of the bundle that its file names; "" where none
	Stale   bool      // a file of it or its configuration is newer than the process
}

// CertFact is what a certificate says of itself.
type CertFact struct {
	CommonName    string
	Organizations []string
	Names         []string // DNS names and IP addresses, sorted
	Authority     string   // SHA-256 (hex) of the issuing certificate it verifies against, or ""
	NotBefore     time.Time
	NotAfter      time.Time
	PEM           string `json:",omitempty"` // itself, where it is an authority
}

// EtcdFact is what a master's member of etcd says, and whether it has data at
// all. Without a member that answers only Data is known.
type EtcdFact struct {
	Data    bool         `json:"-"`       // there is a store
	Cluster string       `json:"cluster"` // etcd's id of its cluster, hexadecimal
	Member  string       `json:"member"`  // this member's
	Leader  string       `json:"leader"`  // "": there is no quorum
	Members []EtcdMember `json:"members"`
}

// EtcdMember is one member of etcd.
type EtcdMember struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // "": it was added and never started
	Peer    string `json:"peer"` // URL
	Learner bool   `json:"learner"`
}

// ClusterFacts is what the API says, where there is one.
type ClusterFacts struct {
	Reachable bool
	Problem   string // why not
	Nodes     map[string]NodeFact
	Applied   map[string]string   // name of an addon -> SHA-256 of the manifests last applied
	Edited    map[string][]string // name of an addon -> objects of it that are not as they were applied
	Objects   map[string][]Object // name of an addon -> what it brought, of those that can be taken away
	Inventory []Member            // every machine that was set up and not taken out again
}

// NodeFact is one Node.
type NodeFact struct {
	Ready    bool
	Labels   map[string]string
	Taints   []Taint
	Addr     string // InternalIP
	PodCIDRs []string
	Version  string // kubelet's
	Drained  bool   // it was emptied for an upgrade, and is closed to new pods since
}
