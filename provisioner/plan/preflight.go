package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"provision/components"
	"provision/components/pki"
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

// What a machine must have.
const (
	minKernelMajor, minKernelMinor = 5, 13              // kube-proxy's nftables mode
	minMemoryMaster                = uint64(1400) << 20 // bytes
	minMemoryWorker                = uint64(700) << 20  // bytes
	minDisk                        = uint64(2) << 30    // bytes, for the bundle, images and etcd
	maxSkew                        = 30 * time.Second   // certificates and leases tolerate less than an hour, people less than this
)

// Preflight returns every reason why the machines cannot become the cluster,
// in the order of the file. None of it needs anything on the machine.
func Preflight(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	for _, m := range c.Machines {
		f, ok := found.Machines[m.Name]
		if !ok {
			continue // whoever connected says so
		}
		for _, check := range []func(components.Cluster, components.MachineSpec, components.Facts) string{
			checkSystem, checkKernel, checkSize, checkClock, checkAddress, checkPorts, checkNeighbours,
		} {
			if text := check(c, m, f); text != "" {
				problems = append(problems, Problem{m.Name, text})
			}
		}
	}
	return slices.Concat(problems, twins(c, found), orphans(c, found), downgrade(c, found))
}

// orphans finds machines of a cluster whose authorities are not on the first
// master: it would make new ones, and the old cluster would fall apart unseen.
func orphans(c components.Cluster, found Facts) []Problem {
	first := c.Masters()[0].Name
	f, answered := found.Machines[first]
	if !answered || holdsAuthority(f) {
		return nil
	}
	var problems []Problem
	for _, m := range c.Machines {
		if holdsAuthority(found.Machines[m.Name]) {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"belongs to a cluster whose secrets are not on %s, the file's first master; put the cluster's own first master first, or take the old cluster away with `provision down`", first)})
		}
	}
	return problems
}

// holdsAuthority says that a machine was given a cluster's certificate, or made it.
func holdsAuthority(f components.Facts) bool {
	_, there := f.Files[components.PKI+"/"+pki.ClusterCA+".crt"]
	return there
}

// downgrade refuses a minor version below the one that runs: Kubernetes cannot
// read what a later one stored. It is easily meant by nobody, where the computer
// at hand has but an older bundle.
func downgrade(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	for _, m := range c.Machines {
		runs := found.Cluster.Nodes[m.Name].Version
		if minor(runs) > minor(c.Version) {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"runs Kubernetes %s, and the bundle is of %s: there is no way back to an earlier minor version; use a bundle of the version that runs, or of a later one", runs, c.Version)})
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

func checkSystem(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	switch {
	case f.Systemd == 0:
		return "does not run systemd, which starts and watches every component"
	case f.Arch != "amd64":
		return fmt.Sprintf("is %s; this bundle is for amd64", f.Arch)
	case f.SELinux == "enforcing":
		return "enforces SELinux, which has no policy for the pods yet; set it to permissive (setenforce 0, and SELINUX=permissive in /etc/selinux/config)"
	case !supported(f.OS):
		return fmt.Sprintf("runs %s; supported are Debian 12 and later, Ubuntu 22.04 and later, and RHEL-likes 9 and later", f.OS.Pretty)
	}
	return ""
}

// supported tells the systems that were thought of. Testing and sid say no version.
func supported(os components.OS) bool {
	least := map[string]float64{"debian": 12, "ubuntu": 22.04, "rhel": 9, "centos": 9, "rocky": 9, "almalinux": 9, "fedora": 38}
	want, ok := least[os.ID]
	if !ok {
		return false
	}
	version, err := strconv.ParseFloat(os.VersionID, 64)
	return err != nil && os.ID == "debian" || err == nil && version >= want
}

func checkKernel(_ components.Cluster, _ components.MachineSpec, f components.Facts) string {
	var major, minor int
	if _, err := fmt.Sscanf(f.Kernel, "%d.%d", &major, &minor); err != nil {
		return fmt.Sprintf("has a kernel whose release %q cannot be read", f.Kernel)
	}
	if major < minKernelMajor || major == minKernelMajor && minor < minKernelMinor {
		return fmt.Sprintf("has kernel %s; %d.%d or later is needed", f.Kernel, minKernelMajor, minKernelMinor)
	}
	return ""
}

func checkSize(c components.Cluster, m components.MachineSpec, f components.Facts) string {
	memory := minMemoryWorker
	if m.Role == components.Master {
		memory = minMemoryMaster
	}
	switch {
	case f.Memory < memory:
		return fmt.Sprintf("has %d MiB of memory; a %s needs %d", f.Memory>>20, m.Role, memory>>20)
	case f.DiskFree < minDisk && !slices.Contains(f.Bundles, c.Bundle.ID):
		return fmt.Sprintf("has %d MiB free below /var/lib; %d are needed", f.DiskFree>>20, minDisk>>20)
	}
	return ""
}

func checkClock(_ components.Cluster, _ components.MachineSpec, f components.Facts) string {
	if f.ClockSkew.Abs() > maxSkew {
		return fmt.Sprintf("has a clock that differs from this computer's by %s; at most %s is safe for certificates", f.ClockSkew.Round(time.Second), maxSkew)
	}
	return ""
}

func checkAddress(_ components.Cluster, m components.MachineSpec, f components.Facts) string {
	var have []string
	for _, prefix := range f.Addresses {
		if prefix.Addr() == m.Address {
			return ""
		}
		if !prefix.Addr().IsLinkLocalUnicast() {
			have = append(have, prefix.Addr().String())
		}
	}
	return fmt.Sprintf("does not have the address %s; it has %s", m.Address, strings.Join(have, ", "))
}

// checkPorts finds strangers on the ports that we need. Once a machine runs
// units of ours, those are taken to be the listeners.
func checkPorts(c components.Cluster, m components.MachineSpec, f components.Facts) string {
	if len(f.Units) > 0 {
		return ""
	}
	tcp := []int{components.PortKubelet, components.PortBalancer}
	if m.Role == components.Master {
		tcp = append(tcp, components.PortAPI, components.PortEtcdClient, components.PortEtcdPeer)
	}
	for _, l := range f.Listening {
		port := int(l.Addr.Port())
		if l.Proto == "tcp" && slices.Contains(tcp, port) || l.Proto == "udp" && port == c.Overlay.Port {
			return fmt.Sprintf("has something listening on %s port %d already, which the cluster needs", l.Proto, port)
		}
	}
	return ""
}

func checkNeighbours(_ components.Cluster, _ components.MachineSpec, f components.Facts) string {
	if len(f.Foreign) == 0 {
		return ""
	}
	return "belongs to something else: " + strings.Join(f.Foreign, "; ") + "; remove that first"
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
	return problems
}
