// Package base prepares a machine: kernel settings and modules, the hands of
// network managers off our links, the slice and target that all units share,
// and the bundle. It starts nothing.
package base

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/templates"
)

const (
	// The last file that says something wins: after 99-sysctl.conf, which is a person's /etc/sysctl.conf.
	sysctlFile   = "/etc/sysctl.d/99-zz-provision.conf"
	modulesFile  = "/etc/modules-load.d/provision.conf"
	networkdFile = "/etc/systemd/network/05-provision.network"
	managerFile  = "/etc/NetworkManager/conf.d/90-provision.conf"
	sliceFile    = components.Units + "/provision.slice"
	targetFile   = components.Units + "/provision.target"
	nodeFile     = components.Etc + "/node.json"

	// targetLink is there while the target is started at boot.
	targetLink = components.Units + "/multi-user.target.wants/provision.target"
	// networkStamp names the files that the network managers were last told to read.
	networkStamp = components.State + "/stamps/network"
)

// Paths are the files outside our own folders that facts must look at.
func Paths() []string {
	return []string{sysctlFile, modulesFile, networkdFile, managerFile, sliceFile, targetFile, targetLink}
}

// conntrack is loaded for those who set what it is told by sysctl: at the boot, before
// anything else would load it.
const conntrack = "nf_conntrack"

// Modules are the kernel modules that facts are asked for. A machine that
// lacks br_netfilter or a tunnel cannot be a node; that is preflight's to say.
func Modules() []string {
	return []string{"br_netfilter", conntrack, "nf_tables", "overlay", "tun", "wireguard"}
}

// settings are kubelet's own (it refuses others, with protectKernelDefaults),
// then what the pods' network needs.
var settings = []actions.Setting{
	{Name: "kernel.keys.root_maxbytes", Value: "25000000"},
	{Name: "kernel.keys.root_maxkeys", Value: "1000000"},
	{Name: "kernel.panic", Value: "10"},
	{Name: "kernel.panic_on_oops", Value: "1"},
	{Name: "vm.overcommit_memory", Value: "1"},
	{Name: "vm.panic_on_oom", Value: "0"},
	{Name: "net.ipv4.ip_forward", Value: "1"},
	{Name: "net.bridge.bridge-nf-call-ip6tables", Value: "1"},
	{Name: "net.bridge.bridge-nf-call-iptables", Value: "1"},
}

// IPv6 is a parameter that every kernel has which speaks IPv6. The overlay sets
// it, and only where pods have addresses of IPv6.
const IPv6 = "net.ipv6.conf.all.forwarding"

// Sysctls are the names that facts are asked for.
func Sysctls(c components.Cluster) []string {
	names := []string{IPv6}
	for _, s := range settings {
		names = append(names, s.Name)
	}
	for _, m := range c.Machines {
		names = slices.AppendSeq(names, maps.Keys(m.Sysctls))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// wanted are the settings of a machine: ours, and then those that its file names.
func wanted(m components.MachineSpec) []actions.Setting {
	all := slices.Clone(settings)
	for _, name := range slices.Sorted(maps.Keys(m.Sysctls)) {
		all = append(all, actions.Setting{Name: name, Value: m.Sysctls[name]})
	}
	return all
}

// NeedsModule says that a setting is there only with a module that we load.
func NeedsModule(sysctl string) bool {
	return strings.HasPrefix(sysctl, "net.bridge.") || strings.HasPrefix(sysctl, "net.netfilter.nf_conntrack")
}

// Actions prepare the machine.
func Actions(c components.Cluster, m components.MachineSpec, f components.Facts) []components.Action {
	d := actions.NewDraft("base", f)
	modules(d, m, f)
	sysctls(d, m, f)
	managers(d, f)
	d.File(nodeFile, 0o644, node(c, m))
	d.File(sliceFile, 0o644, templates.Slice())
	d.File(targetFile, 0o644, templates.Target())
	// Asked of the machine, not of this draft: a run may have died after it wrote the file.
	// Of the slice that cannot be asked: where a run died there, it is read at the next
	// reload or boot.
	if _, enabled := f.Files[targetLink]; !enabled || d.Written(targetFile) || d.Written(sliceFile) {
		d.Add(actions.Units{Of: "base", Enable: []string{"provision.target"}, Start: []string{"provision.target"}})
	}
	return d.Actions()
}

// managers keeps the network managers off our links. The stamp comes last, so
// that a run which dies before they were told leaves that to the next.
func managers(d *actions.Draft, f components.Facts) {
	networkd, manager := templates.NetworkdNetwork(), templates.NetworkManagerConf()
	d.File(networkdFile, 0o644, networkd, "/etc/systemd/network")
	d.File(managerFile, 0o644, manager, "/etc/NetworkManager", "/etc/NetworkManager/conf.d")
	stamp := []byte(components.Sum(networkd) + "\n" + components.Sum(manager) + "\n")
	if f.Files[networkStamp].SHA256 != components.Sum(stamp) || d.Written(networkdFile) || d.Written(managerFile) {
		d.Add(ReloadNetwork{})
	}
	d.File(networkStamp, 0o644, stamp)
}

func modules(d *actions.Draft, m components.MachineSpec, f components.Facts) {
	tracks := slices.ContainsFunc(wanted(m), func(s actions.Setting) bool { return strings.HasPrefix(s.Name, "net.netfilter.") })
	var names []string
	for _, name := range Modules() {
		if f.Modules[name] && (name != conntrack || tracks) {
			names = append(names, name)
		}
	}
	d.File(modulesFile, 0o644, templates.ModulesConf(templates.Modules{Names: names}), "/etc/modules-load.d")
	// The bridge's settings exist while its module is loaded: they show whether it is.
	_, loaded := f.Sysctls["net.bridge.bridge-nf-call-iptables"]
	if len(names) > 0 && (d.Written(modulesFile) || !loaded) {
		d.Add(actions.Modules{Of: "base", Names: names})
	}
}

func sysctls(d *actions.Draft, m components.MachineSpec, f components.Facts) {
	var all []templates.Setting
	var differ []actions.Setting
	for _, s := range wanted(m) {
		all = append(all, templates.Setting(s))
		// The kernel writes tabs between several values.
		if strings.Join(strings.Fields(f.Sysctls[s.Name]), " ") != s.Value {
			differ = append(differ, s)
		}
	}
	d.File(sysctlFile, 0o644, templates.SysctlConf(templates.Sysctls{Settings: all}), "/etc/sysctl.d")
	if len(differ) > 0 {
		d.Add(actions.Sysctls{Of: "base", File: sysctlFile, Settings: differ})
	}
}

// node says to a person on the machine, and to facts, what it was set up as.
func node(c components.Cluster, m components.MachineSpec) []byte {
	text, err := json.MarshalIndent(struct {
		Cluster string            `json:"cluster"`
		Name    string            `json:"name"`
		Role    components.Role   `json:"role"`
		Address string            `json:"address"`
		Network map[string]string `json:"network"`
	}{c.Name, m.Name, m.Role, m.Address.String(), c.Network.Settled()}, "", "  ")
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(text, '\n')
}

// Bundle sends the agent and the bundle where they are not there yet.
func Bundle(c components.Cluster, _ components.MachineSpec, f components.Facts) []components.Action {
	var needed []components.Action
	if !f.Agents[c.Agent()] {
		needed = append(needed, actions.UploadAgent{Path: c.Agent(), Sum: c.Bundle.Files["bin/agent"]})
	}
	if !slices.Contains(f.Bundles, c.Bundle.ID) {
		unpack := actions.Unpack{ID: c.Bundle.ID, Agent: c.Agent(), Have: maps.Clone(f.BundleSums)}
		for _, name := range f.Damaged {
			if file, ours := strings.CutPrefix(name, c.Bundle.ID+"/"); ours {
				unpack.Damaged = append(unpack.Damaged, file)
			}
		}
		needed = append(needed, unpack)
	}
	return needed
}
