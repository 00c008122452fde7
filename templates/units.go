package templates

import "net/netip"

// Process is what every unit of ours says of its process.
type Process struct {
	Binary      string   // path of the program
	Environment []string // NAME=value
	Sum         string   // of the unit without it, and of what the process reads at its start
	LowerOOM    bool     // an OOM score can be lowered on this machine
}

// Etcd is etcd.service.
type Etcd struct{ Process }

// EtcdService returns etcd's unit.
func EtcdService(v Etcd) []byte { return render("etcd.service", v) }

// APIServer is apiserver.service.
type APIServer struct {
	Process
	Address      netip.Addr     // where it listens
	Port         int            //
	Services     []netip.Prefix // the Service ranges, at most one of each family
	Domain       string         // "cluster.local"
	EvictSeconds int            // how long a new pod tolerates a dead node
	Several      bool           // there are other API servers to go to
	Emulate      string         // an earlier minor version to behave as, "1.35", or ""
	Flags        []Flag         // more of them
}

// APIServerService returns the API server's unit.
func APIServerService(v APIServer) []byte { return withFlags(render("apiserver.service", v), v.Flags) }

// Election is a leader election, in Go's form of durations.
type Election struct {
	LeaseDuration string // a leader unheard of for so long is replaced
	RenewDeadline string // a leader that could not renew for so long gives up
	RetryPeriod   string
}

// ControllerManager is controller-manager.service.
type ControllerManager struct {
	Process
	Election
	Cluster       string         // its name
	Pods          []netip.Prefix // at most one of each family
	NodeMask      int            // of IPv4
	NodeMask6     int            // of IPv6; 0: there is none
	Services      []netip.Prefix
	MonitorPeriod string // how often Nodes are looked at
	MonitorGrace  string // a Node unheard of for so long is not ready
	Emulate       string // as APIServer's
	Flags         []Flag // more of them
}

// ControllerManagerService returns the controller manager's unit.
func ControllerManagerService(v ControllerManager) []byte {
	return withFlags(render("controller-manager.service", v), v.Flags)
}

// Scheduler is scheduler.service.
type Scheduler struct {
	Process
	Emulate string // as APIServer's
	Flags   []Flag // more of them
}

// SchedulerService returns the scheduler's unit.
func SchedulerService(v Scheduler) []byte { return withFlags(render("scheduler.service", v), v.Flags) }

// Certificates is certificates.service.
type Certificates struct{ Process }

// CertificatesService returns the unit that approves serving certificates.
func CertificatesService(v Certificates) []byte { return render("certificates.service", v) }

// Containerd is containerd.service.
type Containerd struct{ Process }

// ContainerdService returns containerd's unit.
func ContainerdService(v Containerd) []byte { return render("containerd.service", v) }

// Kubelet is kubelet.service.
type Kubelet struct {
	Process
	Name      string       // of the Node
	Addresses []netip.Addr // the Node's, at most one of each family
}

// KubeletService returns kubelet's unit.
func KubeletService(v Kubelet) []byte { return render("kubelet.service", v) }

// Proxy is proxy.service.
type Proxy struct{ Process }

// ProxyService returns kube-proxy's unit.
func ProxyService(v Proxy) []byte { return render("proxy.service", v) }

// Balancer is balancer.service.
type Balancer struct{ Process }

// BalancerService returns the unit of the balancer before the API servers.
func BalancerService(v Balancer) []byte { return render("balancer.service", v) }

// Overlay is overlay.service.
type Overlay struct{ Process }

// OverlayService returns the overlay agent's unit.
func OverlayService(v Overlay) []byte { return render("overlay.service", v) }

// WireGuard is wireguard.service.
type WireGuard struct{ Process }

// WireGuardService returns the userspace device's unit.
func WireGuardService(v WireGuard) []byte { return render("wireguard.service", v) }

// Slice returns provision.slice.
func Slice() []byte { return render("provision.slice", nil) }

// Target returns provision.target.
func Target() []byte { return render("provision.target", nil) }
