// Package master runs the control plane of one master: API server, controller
// manager, scheduler and the approval of serving certificates. etcd and the
// certificates are other packages'; what is kept in the API is addons'.
package master

import (
	"net"
	"slices"
	"strconv"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/failover"
	"provision/components/pki"
	"provision/components/upgrade"
	"provision/templates"
)

// readyWithin bounds the wait for an API server that was just started. A cold
// start with an empty etcd takes seconds; a slow disk may make it a minute.
const readyWithin = 2 * time.Minute

// The files that the processes read when they start.
const (
	authenticationFile = components.Etc + "/authentication.yaml"
	auditFile          = components.Etc + "/audit.yaml"
	schedulerFile      = components.Etc + "/scheduler.yaml"
	approverFile       = components.Etc + "/certificates.json"

	controllerManagerKubeconfig = components.Etc + "/controller-manager.kubeconfig"
	schedulerKubeconfig         = components.Etc + "/scheduler.kubeconfig"
	approverKubeconfig          = components.Etc + "/certificates.kubeconfig"
)

// The units.
var (
	APIServer         = actions.Service("apiserver")
	controllerManager = actions.Service("controller-manager")
	scheduler         = actions.Service("scheduler")
	approver          = actions.Service("certificates")
)

// Interrupted are those of the units that use etcd.
func Interrupted() []string { return []string{APIServer, controllerManager, scheduler} }

// Started is the wait for a machine's own API server.
func Started() components.Action {
	return actions.WaitAPI{Of: "master", Own: true, Timeout: readyWithin}
}

// Actions put the control plane's files in place, start it, and wait until the
// API server is ready where it was started.
func Actions(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master {
		return nil
	}
	d := actions.NewDraft("master", f)
	p := plane{Draft: d, c: c, m: m, f: f, settings: failover.From(c.Detect, c.Evict)}
	p.emulation()
	p.apiServer()
	p.controllerManager()
	p.scheduler()
	p.final()
	p.approver()
	d.Start(false, APIServer, controllerManager, scheduler, approver)
	if d.Starts(APIServer) {
		d.Add(Started())
	}
	return append(p.tries(), d.Actions()...)
}

// emulation leaves word of which version the control plane behaves as: whoever looks
// at the machine knows by it that the upgrade can be taken back.
func (p plane) emulation() {
	if p.c.Emulate != "" {
		p.File(upgrade.EmulateFile, 0o644, upgrade.Emulate(p.c.Emulate))
	}
}

// final takes that word back once the API server's unit says nothing of it: who finds
// neither knows an upgrade that is finalised, and must not find that too early.
func (p plane) final() {
	if _, there := p.f.Files[upgrade.EmulateFile]; there && p.c.Emulate == "" {
		p.Add(actions.Remove{Of: "master", Path: upgrade.EmulateFile})
	}
}

// tries come before anything is changed: flags of the cluster file that a component
// would not start with.
func (p plane) tries() []components.Action {
	var tries []components.Action
	for _, component := range []struct {
		unit, command string
		flags         []components.Flag
	}{
		{APIServer, "apiserver", p.c.Flags.APIServer},
		{controllerManager, "controller-manager", p.c.Flags.ControllerManager},
		{scheduler, "scheduler", p.c.Flags.Scheduler},
	} {
		if len(component.flags) > 0 && p.Written(actions.UnitPath(component.unit)) {
			tries = append(tries, TryFlags{Program: p.node(), Command: component.command, Flags: component.flags})
		}
	}
	return tries
}

// flags as templates have them.
func flags(of []components.Flag) []templates.Flag {
	var flags []templates.Flag
	for _, flag := range of {
		flags = append(flags, templates.Flag(flag))
	}
	return flags
}

// plane is one machine's control plane while it is drafted.
type plane struct {
	*actions.Draft
	c        components.Cluster
	m        components.MachineSpec
	f        components.Facts
	settings failover.Settings
}

// process of a component; environment is what it has besides every client's.
func (p plane) process(binary, sum string, environment ...string) templates.Process {
	return templates.Process{
		Binary:      binary,
		Environment: slices.Concat(p.settings.Environment(), environment),
		Sum:         sum,
		LowerOOM:    p.f.LowerOOM,
	}
}

func (p plane) node() string { return p.c.BundleDir() + "/bin/node" }

func (p plane) election() templates.Election {
	return templates.Election{
		LeaseDuration: p.settings.LeaseDuration.String(),
		RenewDeadline: p.settings.RenewDeadline.String(),
		RetryPeriod:   p.settings.RetryPeriod.String(),
	}
}

// kubeconfig of a component that uses this machine's own API server, which is
// never older than the component.
func (p plane) kubeconfig(file, leaf string) {
	p.File(file, 0o600, templates.KubeconfigYAML(templates.Kubeconfig{
		Cluster: p.c.Name,
		Server:  "https://" + net.JoinHostPort(p.m.Address.String(), strconv.Itoa(components.PortAPI)),
		Leaf:    leaf,
	}))
}

func (p plane) apiServer() {
	p.File(authenticationFile, 0o600, templates.AuthenticationYAML())
	p.File(auditFile, 0o600, templates.AuditYAML())
	p.Unit(APIServer, func(sum string) []byte {
		return templates.APIServerService(templates.APIServer{
			Process:      p.process(p.node(), sum, "GOGC=60"),
			Address:      p.m.Address,
			Port:         components.PortAPI,
			Services:     p.c.Network.ServiceRanges(),
			Domain:       p.c.Network.Domain,
			EvictSeconds: p.settings.EvictSeconds,
			Several:      len(p.c.Masters()) > 1,
			Emulate:      p.c.Emulate,
			Flags:        flags(p.c.Flags.APIServer),
		})
	}, append(pki.Reads(p.Draft, p.c, pki.Authorities...), authenticationFile, auditFile)...)
}

func (p plane) controllerManager() {
	p.kubeconfig(controllerManagerKubeconfig, "controller-manager")
	p.Unit(controllerManager, func(sum string) []byte {
		return templates.ControllerManagerService(templates.ControllerManager{
			Process:       p.process(p.node(), sum, "GOGC=75"),
			Election:      p.election(),
			Cluster:       p.c.Name,
			Pods:          p.c.Network.PodRanges(),
			NodeMask:      p.c.Network.NodeMask,
			NodeMask6:     p.c.Network.NodeMask6,
			Services:      p.c.Network.ServiceRanges(),
			MonitorPeriod: p.settings.MonitorPeriod.String(),
			MonitorGrace:  p.settings.MonitorGrace.String(),
			Emulate:       p.c.Emulate,
			Flags:         flags(p.c.Flags.ControllerManager),
		})
	}, append(pki.Reads(p.Draft, p.c, pki.ClusterCA, pki.FrontProxyCA), controllerManagerKubeconfig)...)
}

func (p plane) scheduler() {
	p.kubeconfig(schedulerKubeconfig, "scheduler")
	p.File(schedulerFile, 0o600, templates.SchedulerYAML(p.election()))
	p.Unit(scheduler, func(sum string) []byte {
		return templates.SchedulerService(templates.Scheduler{Emulate: p.c.Emulate, Process: p.process(p.node(), sum, "GOGC=75"), Flags: flags(p.c.Flags.Scheduler)})
	}, append(pki.Settled(p.Draft, p.c), schedulerKubeconfig, schedulerFile)...)
}
