package removal

import "provision/components"

// What a drill (provisioner/verify) makes on a machine for its own time: the
// timer that undoes it and what that starts, what does the harm, and the nftables
// table (of family inet) by which the machine is cut off.
const (
	DrillUndo  = "provision-drill-undo"
	DrillHarm  = "provision-drill"
	DrillTable = "provision-drill"
)

// Inventory is everything that provision ever creates on a machine.
func Inventory() List {
	list := List{
		Units: []string{DrillUndo + ".timer", DrillUndo + ".service", DrillHarm + ".service"},
		Own: Things{
			Cgroups:   []string{"provision.slice"},
			Mounts:    []string{components.Run, components.State + "/containerd"},
			Tables:    []Table{{Family: "inet", Name: "provision-overlay"}, {Family: "inet", Name: DrillTable}},
			Addresses: []Address{{Link: "lo", Prefix: components.NodeAPI.String() + "/32"}},
			Files: []File{
				{Path: "/etc/sysctl.d/99-zz-provision.conf"},
				{Path: "/etc/modules-load.d/provision.conf"},
				{Path: "/etc/systemd/network/05-provision.network"},
				{Path: "/etc/NetworkManager/conf.d/90-provision.conf"},
			},
			Networks: []string{"provision"},
			// A userspace WireGuard that ends well leaves the folder of its socket.
			Empty: []string{"/var/lib/cni/results", "/var/lib/cni", "/run/wireguard"},
			// What may be a disk of its own comes before what holds it.
			Dirs: []string{
				components.Run, components.State + "/containerd", components.State + "/etcd",
				components.Etc, components.Root, components.State,
			},
		},
		Shared: Things{
			Cgroups: []string{"kubepods", "kubepods.slice"},
			Mounts:  []string{"/var/lib/kubelet"},
			Tables: []Table{
				{Family: "ip", Name: "kube-proxy"}, {Family: "ip6", Name: "kube-proxy"},
				// The CNI plugin portmap's: another runtime's as well, where it has plugins.
				{Family: "ip", Name: "cni_hostport", Unless: "/etc/cni/net.d"},
				{Family: "ip6", Name: "cni_hostport", Unless: "/etc/cni/net.d"},
			},
			Dirs: []string{"/var/lib/kubelet", "/var/log/pods", "/var/log/containers"},
			// The controller manager makes them for a kind of plugin that nobody has any more.
			Empty: []string{
				"/usr/libexec/kubernetes/kubelet-plugins/volume/exec", "/usr/libexec/kubernetes/kubelet-plugins/volume",
				"/usr/libexec/kubernetes/kubelet-plugins", "/usr/libexec/kubernetes",
			},
		},
		Evidence: []string{
			components.Units + "/" + components.UnitName + "kubelet.service",
			components.Etc + "/kubelet.yaml",
			components.Etc + "/kubelet.kubeconfig",
		},
		Journal: components.Journal,
	}
	for _, name := range []string{
		"kubelet", "proxy", "containerd", "overlay", "wireguard", "balancer",
		"certificates", "scheduler", "controller-manager", "apiserver", "etcd",
	} {
		list.Units = append(list.Units, components.UnitName+name+".service")
	}
	list.Units = append(list.Units, components.UnitName+"renewal.timer", components.UnitName+"renewal.service", "provision.target", "provision.slice")
	return list
}
