package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"provision/components"
	"provision/components/addons"
	"provision/components/pki"
	"provision/components/upgrade"
)

// Facts is all that was found by looking.
type Facts struct {
	Machines map[string]components.Facts // of those that answered, by name
	Cluster  components.ClusterFacts
}

// Problem is a reason not to touch a machine.
type Problem struct {
	Machine string
	Text    string // a sentence that says what would be right
}

func (p Problem) Error() string { return p.Machine + ": " + p.Text }

// Preflight returns every reason why the machines cannot become the cluster,
// in the order of the file. None of it needs anything on the machine.
func Preflight(c components.Cluster, found Facts) []Problem {
	return append(unfinished(c, found), preflight(c, found)...)
}

func preflight(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	for _, m := range c.Machines {
		f, ok := found.Machines[m.Name]
		if !ok {
			continue // whoever connected says so
		}
		for _, check := range []func(components.Cluster, components.MachineSpec, components.Facts) string{
			checkSystem, checkKernel, checkControl, checkModules, checkSize, checkFolders, checkClock, checkSysctls, checkAddress, checkIPv6, checkRanges, checkPorts, checkNeighbours, checkFirewall,
		} {
			if text := check(c, m, f); text != "" {
				problems = append(problems, Problem{m.Name, text})
			}
		}
	}
	return slices.Concat(Strangers(c, found), problems, checkMasters(c, found), twins(c, found), orphans(c, found), divided(c, found), versions(c, found), Mixed(c, found), settled(c, found), checkLeaving(c, found), lacking(c), clashes(c))
}

// clashes finds objects of the user's addons that are ours: each run would give them
// back and forth.
func clashes(c components.Cluster) []Problem {
	var problems []Problem
	for o, addon := range addons.Clashes(c) {
		problems = append(problems, Problem{"addon " + addon, fmt.Sprintf("holds %s, which is provision's own; leave it out", o)})
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Error(), b.Error()) })
	return problems
}

// lacking finds addons whose images the bundle does not have.
func lacking(c components.Cluster) []Problem {
	needs := addons.NeedsImages(c.Addons)
	var problems []Problem
	for _, name := range slices.Sorted(maps.Keys(needs)) {
		if c.Image(name) == "" {
			problems = append(problems, Problem{"the bundle", fmt.Sprintf(
				"has no image %s: it is older than this program; build it again (make bundle), or say addons { %s = false } in the cluster block", name, needs[name])})
		}
	}
	return problems
}

// Strangers finds machines of a cluster of another name: whoever has the wrong
// file at hand neither turns a cluster into another one, nor takes it away.
func Strangers(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	for _, m := range c.Machines {
		if of := found.Machines[m.Name].Cluster; of != "" && of != c.Name {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"belongs to the cluster %q, and the file is of %q: use that cluster's own file, or take it away with that first (`provision down`)", of, c.Name)})
		}
	}
	return problems
}

// holdsAuthority says that a machine was given a cluster's certificate, or made it.
func holdsAuthority(f components.Facts) bool {
	_, there := f.Files[components.PKI+"/"+pki.ClusterCA+".crt"]
	return there
}

// versions refuses a minor version below the one that runs, which Kubernetes has no
// way back to (easily meant by nobody, where the computer at hand has but an older
// bundle), and one that is more than one above it, which upstream does not test.
func versions(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	changing := ""
	for _, m := range c.Masters() {
		f := found.Machines[m.Name]
		_, emulating := f.Files[upgrade.EmulateFile]
		if id := planeBundle(f); id != "" && id != c.Bundle.ID || emulating {
			changing = cmp.Or(changing, m.Name)
		}
		runs := versionOf(planeBundle(f))
		emulates := f.Files[upgrade.EmulateFile].SHA256 == components.Sum(upgrade.Emulate(fmt.Sprintf("1.%d", minor(c.Version))))
		if runs != "" && minor(c.Version)-minor(runs) > 1 {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs the control plane of Kubernetes %s, and the bundle is of %s: Kubernetes is upgraded by one minor version at a time; use a bundle of 1.%d first", runs, c.Version, minor(runs)+1)})
		}
		if f.Etcd.Data && minor(runs) > minor(c.Version) && !emulates {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs the control plane of Kubernetes %s, and the bundle is of %s: what it stores by now the earlier one cannot read; use a bundle of the version that runs, or `provision upgrade --rollback`, which goes back to the snapshot of before", runs, c.Version)})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	for _, m := range c.Masters() {
		if _, answered := found.Machines[m.Name]; !answered && changing != "" {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"does not answer, and the control plane of %s is to change its version: while an upgrade is under way, every master must answer; power it on, or take it out of the file", changing)})
		}
	}
	if (world{Cluster: c, facts: found}).emulate() != "" {
		for _, m := range c.Machines {
			if f, answered := found.Machines[m.Name]; answered && kubeletBundle(f) == "" {
				problems = append(problems, Problem{m.Name, "is new, and an upgrade to another minor version is under way, which could not be taken back with it: take it out of the file, finish the upgrade, and put it back"})
			}
		}
	}
	for _, m := range c.Machines {
		runs := cmp.Or(found.Cluster.Nodes[m.Name].Version, versionOf(kubeletBundle(found.Machines[m.Name])))
		_, answers := found.Machines[m.Name]
		switch below := minor(c.Version) - minor(runs); {
		case runs == "":
		case below > 1 && !answers:
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"does not answer, and its kubelet is of %s: Kubernetes allows one minor version between, and the way from there to %s would be shut; power it on and bring it along, or take it out of the file", runs, c.Version)})
		case below > 1 && ahead(c, found):
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs Kubernetes %s, and the masters run %s already: it cannot be brought along; take it out of the file, run `provision up`, and put it back", runs, c.Version)})
		case below < 0 && !ahead(c, found): // once all control planes are back, kubelets follow
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs Kubernetes %s, and the bundle is of %s: there is no way back to an earlier minor version; use a bundle of the version that runs, or of a later one", runs, c.Version)})
		case below > 1 && len(found.Machines[m.Name].Bundles) > 0: // one without is blank, whatever its Node says
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs Kubernetes %s, and the bundle is of %s: Kubernetes is upgraded by one minor version at a time; use a bundle of 1.%d first, on every machine", runs, c.Version, minor(runs)+1)})
		}
	}
	return problems
}

// settled refuses another network than the cluster was made with: what it gave out
// cannot be taken back while it runs. It is said once, of the first machine that
// remembers.
func settled(c components.Cluster, found Facts) []Problem {
	why := map[string]string{
		"pods": "a Node keeps the subnet that it was given", "node_mask": "a Node keeps the subnet that it was given", "node_mask6": "a Node keeps the subnet that it was given",
		"services": "Services keep the addresses that they were given, and the API's own is in its certificates",
		"domain":   "it is in every pod's resolv.conf, and tokens are issued in its name",
	}
	wanted := c.Network.Settled()
	for _, m := range c.Machines {
		f := found.Machines[m.Name]
		if f.Network == nil || f.Cluster != c.Name {
			continue
		}
		var problems []Problem
		for _, name := range slices.Sorted(maps.Keys(why)) {
			if f.Network[name] != wanted[name] {
				problems = append(problems, Problem{m.Name, fmt.Sprintf(
					"was set up with network.%s = %s, and the file says %s: %s; put back what the file said, or take the cluster away with `provision down` (with the file of before) and begin anew",
					name, said(f.Network[name]), said(wanted[name]), why[name])})
			}
		}
		if len(problems) > 0 {
			return problems
		}
	}
	return moved(c, found)
}

func said(value string) string {
	if value == "" {
		return "nothing"
	}
	return fmt.Sprintf("%.100q", value)
}

// ahead says that every control plane is of the version that is wanted.
func ahead(c components.Cluster, found Facts) bool {
	return !slices.ContainsFunc(c.Masters(), func(m components.MachineSpec) bool {
		return versionOf(planeBundle(found.Machines[m.Name])) != c.Version
	})
}

// moved finds Nodes whose pod subnets are not of the file's ranges: Kubernetes gives
// a Node its subnets once, and never changes them.
func moved(c components.Cluster, found Facts) []Problem {
	ranges := map[netip.Prefix]int{c.Network.Pods: c.Network.NodeMask}
	if c.Network.Dual() {
		ranges[c.Network.Pods6] = c.Network.NodeMask6
	}
	var problems []Problem
	for _, m := range c.Machines {
		has := found.Cluster.Nodes[m.Name].PodCIDRs
		fits := 0
		for _, text := range has {
			subnet, err := netip.ParsePrefix(text)
			for pods, mask := range ranges {
				if err == nil && pods.Contains(subnet.Addr()) && subnet.Bits() == mask {
					fits++
				}
			}
		}
		if len(has) > 0 && (fits != len(has) || fits != len(ranges)) {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"has the pod subnets %s, which do not follow from network.pods and its masks: a Node keeps what it was given; put back what the file said, or take the cluster away with `provision down` first", strings.Join(has, ", "))})
		}
	}
	return problems
}

// minor returns the second number of "v1.36.3", or 0.
func minor(version string) int {
	var major, minor int
	fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor)
	return minor
}

// twins finds machines that claim to be the same one: clones whose identity was
// not reset, or one machine listed twice.
func twins(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	ids, hosts := map[string]string{}, map[string]string{}
	for _, m := range c.Machines {
		f, ok := found.Machines[m.Name]
		if !ok {
			continue
		}
		if other, ok := ids[f.MachineID]; ok && f.MachineID != "" {
			problems = append(problems, Problem{m.Name, fmt.Sprintf("has the machine-id of %s; a clone needs its own (rm /etc/machine-id; systemd-machine-id-setup; reboot)", other)})
		}
		if other, ok := hosts[f.Hostname]; ok && f.Hostname != "" {
			problems = append(problems, Problem{m.Name, fmt.Sprintf("has the hostname of %s (%q); give it its own with hostnamectl", other, f.Hostname)})
		}
		ids[f.MachineID], hosts[f.Hostname] = m.Name, m.Name
	}
	for _, m := range c.Machines {
		for _, other := range c.Machines {
			if m.Name != other.Name && slices.ContainsFunc(found.Machines[other.Name].Addresses, func(p netip.Prefix) bool { return p.Addr() == m.Address }) {
				problems = append(problems, Problem{other.Name, fmt.Sprintf("has %s on one of its links, which is the address of %s; an address belongs to one machine", m.Address, m.Name)})
			}
		}
	}
	return problems
}
