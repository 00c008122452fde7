package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"provision/components"
	"provision/components/base"
)

// What a machine must have.
const (
	minKernelMajor, minKernelMinor = 5, 13              // kube-proxy's nftables mode
	minMemoryMaster                = uint64(1400) << 20 // bytes
	minMemoryWorker                = uint64(700) << 20  // bytes
	minDisk                        = uint64(2) << 30    // bytes below /var/lib, for images and etcd, and the bundle where it lies there too
	minRoot                        = uint64(512) << 20  // bytes below /opt, for the bundle alone
	maxSkew                        = 30 * time.Second   // certificates and leases tolerate less than an hour, people less than this
)

func checkSystem(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	switch {
	case f.Systemd == 0:
		return "does not run systemd, which starts and watches every component; take an image that boots with it"
	case f.Arch != c.Bundle.Arch:
		return fmt.Sprintf("is %s, and the bundle is for %s: all machines of a cluster have one architecture", f.Arch, c.Bundle.Arch)
	case f.SELinux == "enforcing":
		return "enforces SELinux, which has no policy for the pods yet; set it to permissive (setenforce 0, and SELINUX=permissive in /etc/selinux/config)"
	case !supported(f.OS):
		return fmt.Sprintf("runs %s; supported are Debian 12 and later, Ubuntu 22.04 and later, and RHEL-likes 9 and later", pretty(f.OS))
	}
	return ""
}

func pretty(os components.OS) string {
	if os.Pretty == "" {
		return "a system without /etc/os-release"
	}
	return os.Pretty
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
		return fmt.Sprintf("has a kernel whose release %q cannot be read; one such as 6.1.0 is expected", f.Kernel)
	}
	if major < minKernelMajor || major == minKernelMajor && minor < minKernelMinor {
		return fmt.Sprintf("has kernel %s; %d.%d or later is needed, for nftables as Kubernetes uses them", f.Kernel, minKernelMajor, minKernelMinor)
	}
	return ""
}

// checkControl finds kernels that account for less than kubelet needs: some
// boards are delivered with the memory controller switched off.
func checkControl(_ components.Cluster, _ components.MachineSpec, f components.Facts) string {
	var lacking []string
	for _, name := range []string{"cpu", "memory", "pids"} {
		if len(f.Control) > 0 && !slices.Contains(f.Control, name) {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) == 0 {
		return ""
	}
	return fmt.Sprintf("has a kernel without the control groups' %s; add cgroup_enable=%s to the kernel's command line, and reboot", strings.Join(lacking, ", "), lacking[len(lacking)-1])
}

// checkModules believes the kernel's own list only: where there is none, as in
// containers and with kernels that were replaced since the boot, the agent tries
// instead.
func checkModules(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	if !f.ModulesKnown {
		return ""
	}
	var lacking []string
	for _, name := range []string{"br_netfilter", "nf_tables", "overlay"} {
		if !f.Modules[name] {
			lacking = append(lacking, name)
		}
	}
	kernel, user := f.Modules["wireguard"], f.Modules["tun"]
	switch {
	case c.Overlay.Mode == "kernel" && !kernel:
		lacking = append(lacking, "wireguard (or overlay.mode = \"auto\")")
	case c.Overlay.Mode == "userspace" && !user:
		lacking = append(lacking, "tun")
	case !kernel && !user:
		lacking = append(lacking, "wireguard or tun")
	}
	if len(lacking) == 0 {
		return ""
	}
	return fmt.Sprintf("has a kernel without %s; install the package with the rest of its modules (linux-modules-extra-%s on Ubuntu, kernel-modules on RHEL-likes)",
		strings.Join(lacking, ", "), f.Kernel)
}

func checkSize(c components.Cluster, m components.MachineSpec, f components.Facts) string {
	memory := minMemoryWorker
	if m.Role == components.Master {
		memory = minMemoryMaster
	}
	if f.Memory < memory {
		return fmt.Sprintf("has %d MiB of memory; a %s needs %d", f.Memory>>20, m.Role, memory>>20)
	}
	return ""
}

// checkFolders looks at the file systems, which matter until the bundle is there.
func checkFolders(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	switch {
	case len(f.ReadOnly) > 0:
		return "cannot write to " + strings.Join(f.ReadOnly, " and ") + ", which is mounted read-only; the cluster's files go below /opt, /etc and /var/lib: mount it read-write"
	case f.NoExec:
		return "has " + components.Root + " on a file system that is mounted noexec, and every program lies there; mount it with exec"
	case slices.Contains(f.Bundles, c.Bundle.ID):
		return ""
	case f.DiskFree < minDisk:
		return fmt.Sprintf("has %d MiB free below /var/lib; %d are needed for images and the cluster's data", f.DiskFree>>20, minDisk>>20)
	case f.RootFree != 0 && f.RootFree < minRoot:
		return fmt.Sprintf("has %d MiB free below /opt; %d are needed for the programs", f.RootFree>>20, minRoot>>20)
	}
	return ""
}

// checkSysctls finds settings of the file that the kernel does not have.
func checkSysctls(_ components.Cluster, m components.MachineSpec, f components.Facts) string {
	var lacking []string
	for _, name := range slices.Sorted(maps.Keys(m.Sysctls)) {
		if _, there := f.Sysctls[name]; !there && !base.NeedsModule(name) {
			lacking = append(lacking, name)
		}
	}
	if len(lacking) == 0 {
		return ""
	}
	return fmt.Sprintf("has a kernel without the setting %s, which the file gives a value; take it out of sysctls, or load the module that brings it at each boot", strings.Join(lacking, ", "))
}

func checkClock(_ components.Cluster, _ components.MachineSpec, f components.Facts) string {
	if f.ClockSkew.Abs() > maxSkew {
		return fmt.Sprintf("has a clock that differs from this computer's by %s; at most %s is safe for certificates: let it be set by NTP (timedatectl set-ntp true)",
			f.ClockSkew.Round(time.Second), maxSkew)
	}
	return ""
}

func checkAddress(_ components.Cluster, m components.MachineSpec, f components.Facts) string {
	have := []string{}
	missing := m.Addresses()
	for _, prefix := range f.Addresses {
		missing = slices.DeleteFunc(missing, func(a netip.Addr) bool { return a == prefix.Addr() })
		if !prefix.Addr().IsLinkLocalUnicast() {
			have = append(have, prefix.Addr().String())
		}
	}
	if len(missing) == 0 {
		return ""
	}
	if len(have) == 0 {
		have = append(have, "none but loopback")
	}
	if missing[0] == m.Address6 {
		return fmt.Sprintf("does not have the address %s, which its Node is to have as address6; it has %s", m.Address6, strings.Join(have, ", "))
	}
	return fmt.Sprintf("does not have the address %s, at which the cluster is to reach it; it has %s (where only SSH needs another one, that is ssh.host)", m.Address, strings.Join(have, ", "))
}

// checkIPv6 finds kernels without it, where pods are to have addresses of it.
func checkIPv6(c components.Cluster, _ components.MachineSpec, f components.Facts) string {
	if _, speaks := f.Sysctls[base.IPv6]; !c.Network.Dual() || speaks {
		return ""
	}
	return "has no IPv6 in its kernel, and network.pods has a range of it; start the machine without ipv6.disable=1, or leave IPv6 out of network.pods and network.services"
}

// checkRanges finds links of the machine's own inside the cluster's ranges. Once
// the cluster is there, it has such addresses itself.
func checkRanges(c components.Cluster, m components.MachineSpec, f components.Facts) string {
	if touched(f) {
		return ""
	}
	for _, prefix := range f.Addresses {
		if slices.Contains(m.Addresses(), prefix.Addr()) {
			continue // the file itself is wrong then, and says so
		}
		for what, ranges := range map[string][]netip.Prefix{"pods": c.Network.PodRanges(), "services": c.Network.ServiceRanges()} {
			if slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(prefix.Addr()) }) {
				return fmt.Sprintf("has the address %s on a link of its own, which lies in network.%s; give network.%s a range that no machine uses", prefix.Addr(), what, what)
			}
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
