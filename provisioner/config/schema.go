package config

import "github.com/hashicorp/hcl/v2"

// The schema of a cluster file. Attributes are kept unevaluated, because a
// machine block is evaluated once for each of its for_each keys, and because
// every later complaint needs the attribute's place in the file.
// docs/cluster-hcl.md is tested against these tags.

type fileSchema struct {
	Cluster   *clusterSchema   `hcl:"cluster,block"`
	Machines  []machineSchema  `hcl:"machine,block"`
	Addons    []addonSchema    `hcl:"addon,block"`
	Variables []variableSchema `hcl:"variable,block"`
	Locals    []localsSchema   `hcl:"locals,block"`
}

type addonSchema struct {
	Name      string         `hcl:"name,label"`
	NameRange hcl.Range      `hcl:"name,label_range"`
	Manifests *hcl.Attribute `hcl:"manifests,optional"`
	Chart     *hcl.Attribute `hcl:"chart,optional"`
	Values    *hcl.Attribute `hcl:"values,optional"`
	Namespace *hcl.Attribute `hcl:"namespace,optional"`
	Images    *hcl.Attribute `hcl:"images,optional"`
}

type variableSchema struct {
	Name        string         `hcl:"name,label"`
	NameRange   hcl.Range      `hcl:"name,label_range"`
	Default     *hcl.Attribute `hcl:"default,optional"`
	Description *hcl.Attribute `hcl:"description,optional"`
	Type        *hcl.Attribute `hcl:"type,optional"`
}

type localsSchema struct {
	Attributes hcl.Attributes `hcl:",remain"`
}

type clusterSchema struct {
	Name         string              `hcl:"name,label"`
	NameRange    hcl.Range           `hcl:"name,label_range"`
	Version      *hcl.Attribute      `hcl:"version,optional"`
	Network      *networkSchema      `hcl:"network,block"`
	Overlay      *overlaySchema      `hcl:"overlay,block"`
	Addons       *addonsSchema       `hcl:"addons,block"`
	API          *apiSchema          `hcl:"api,block"`
	Certificates *certificatesSchema `hcl:"certificates,block"`
	Failover     *failoverSchema     `hcl:"failover,block"`
	SSH          *sshSchema          `hcl:"ssh,block"`
	Verify       *verifySchema       `hcl:"verify,block"`

	MaxUnavailable    *hcl.Attribute   `hcl:"max_unavailable,optional"`
	Sysctls           *hcl.Attribute   `hcl:"sysctls,optional"`
	Kubelet           *kubeletSchema   `hcl:"kubelet,block"`
	Proxy             *proxySchema     `hcl:"proxy,block"`
	APIServer         *flagsSchema     `hcl:"apiserver,block"`
	ControllerManager *flagsSchema     `hcl:"controller_manager,block"`
	Scheduler         *flagsSchema     `hcl:"scheduler,block"`
	Registries        []registrySchema `hcl:"registry,block"`
}

type kubeletSchema struct {
	MaxPods  *hcl.Attribute `hcl:"max_pods,optional"`
	Settings *hcl.Attribute `hcl:"settings,optional"`
}

type proxySchema struct {
	Settings *hcl.Attribute `hcl:"settings,optional"`
}

// flagsSchema is the block of a component that takes flags.
type flagsSchema struct {
	ExtraArgs *hcl.Attribute `hcl:"extra_args,optional"`
}

type registrySchema struct {
	Host       string         `hcl:"host,label"`
	HostRange  hcl.Range      `hcl:"host,label_range"`
	Mirrors    *hcl.Attribute `hcl:"mirrors,optional"`
	CA         *hcl.Attribute `hcl:"ca,optional"`
	SkipVerify *hcl.Attribute `hcl:"skip_verify,optional"`
}

type networkSchema struct {
	Pods      *hcl.Attribute `hcl:"pods,optional"`
	NodeMask  *hcl.Attribute `hcl:"node_mask,optional"`
	NodeMask6 *hcl.Attribute `hcl:"node_mask6,optional"`
	Services  *hcl.Attribute `hcl:"services,optional"`
	Domain    *hcl.Attribute `hcl:"domain,optional"`
}

type overlaySchema struct {
	Mode      *hcl.Attribute `hcl:"mode,optional"`
	Port      *hcl.Attribute `hcl:"port,optional"`
	MTU       *hcl.Attribute `hcl:"mtu,optional"`
	Keepalive *hcl.Attribute `hcl:"persistent_keepalive,optional"`
	Offloads  *hcl.Attribute `hcl:"offloads,optional"`
	PSK       *hcl.Attribute `hcl:"psk,optional"`
}

type addonsSchema struct {
	DNS     *hcl.Attribute `hcl:"dns,optional"`
	Metrics *hcl.Attribute `hcl:"metrics,optional"`
	Storage *hcl.Attribute `hcl:"storage,optional"`
}

type apiSchema struct {
	Endpoint  *hcl.Attribute `hcl:"endpoint,optional"`
	ExtraSANs *hcl.Attribute `hcl:"extra_sans,optional"`
}

type certificatesSchema struct {
	Lifetime *hcl.Attribute `hcl:"lifetime,optional"`
}

type failoverSchema struct {
	Detect *hcl.Attribute `hcl:"detect,optional"`
	Evict  *hcl.Attribute `hcl:"evict,optional"`
}

type verifySchema struct {
	Outside *hcl.Attribute `hcl:"outside,optional"`
}

type sshSchema struct {
	User       *hcl.Attribute  `hcl:"user,optional"`
	Port       *hcl.Attribute  `hcl:"port,optional"`
	Key        *hcl.Attribute  `hcl:"key,optional"`
	Agent      *hcl.Attribute  `hcl:"agent,optional"`
	KnownHosts *hcl.Attribute  `hcl:"known_hosts,optional"`
	HostKey    *hcl.Attribute  `hcl:"host_key,optional"`
	AcceptNew  *hcl.Attribute  `hcl:"accept_new,optional"`
	Sudo       *hcl.Attribute  `hcl:"sudo,optional"`
	Bastions   []bastionSchema `hcl:"bastion,block"`
}

type bastionSchema struct {
	DefRange   hcl.Range      `hcl:",def_range"`
	Host       *hcl.Attribute `hcl:"host"`
	User       *hcl.Attribute `hcl:"user,optional"`
	Port       *hcl.Attribute `hcl:"port,optional"`
	Key        *hcl.Attribute `hcl:"key,optional"`
	Agent      *hcl.Attribute `hcl:"agent,optional"`
	KnownHosts *hcl.Attribute `hcl:"known_hosts,optional"`
	HostKey    *hcl.Attribute `hcl:"host_key,optional"`
	AcceptNew  *hcl.Attribute `hcl:"accept_new,optional"`
}

type machineSchema struct {
	Label      string            `hcl:"label,label"`
	LabelRange hcl.Range         `hcl:"label,label_range"`
	ForEach    *hcl.Attribute    `hcl:"for_each,optional"`
	Name       *hcl.Attribute    `hcl:"name,optional"`
	Role       *hcl.Attribute    `hcl:"role,optional"`
	Address    *hcl.Attribute    `hcl:"address"`
	Endpoint   *hcl.Attribute    `hcl:"endpoint,optional"`
	Address6   *hcl.Attribute    `hcl:"address6,optional"`
	Labels     *hcl.Attribute    `hcl:"labels,optional"`
	Taints     *hcl.Attribute    `hcl:"taints,optional"`
	Sysctls    *hcl.Attribute    `hcl:"sysctls,optional"`
	Kubelet    *kubeletSchema    `hcl:"kubelet,block"`
	Proxy      *proxySchema      `hcl:"proxy,block"`
	SSH        *machineSSHSchema `hcl:"ssh,block"`
}

type machineSSHSchema struct {
	Host       *hcl.Attribute  `hcl:"host,optional"`
	User       *hcl.Attribute  `hcl:"user,optional"`
	Port       *hcl.Attribute  `hcl:"port,optional"`
	Key        *hcl.Attribute  `hcl:"key,optional"`
	Agent      *hcl.Attribute  `hcl:"agent,optional"`
	KnownHosts *hcl.Attribute  `hcl:"known_hosts,optional"`
	HostKey    *hcl.Attribute  `hcl:"host_key,optional"`
	AcceptNew  *hcl.Attribute  `hcl:"accept_new,optional"`
	Sudo       *hcl.Attribute  `hcl:"sudo,optional"`
	Bastions   []bastionSchema `hcl:"bastion,block"`
}
