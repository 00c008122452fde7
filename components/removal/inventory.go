package removal

import (
	"provision/components"
)

// routeProtocol marks the overlay's routes: overlay/host's number.
const routeProtocol = 80

// Inventory is everything that provision ever creates on a machine.
func Inventory() List {
	list := List{
		Own: Things{
			Cgroups:   []string{"provision.slice"},
			Mounts:    []string{components.Run, components.State + "/containerd"},
			Ports:     []string{"bridge0"},
			Links:     []string{"wg0", "bridge0"},
			Tables:    []Table{{"inet", "provision-overlay"}},
			Addresses: []Address{{Link: "lo", Prefix: components.NodeAPI.String() + "/32"}},
			Protocol:  routeProtocol,
			Files: []File{
				{Path: "/etc/sysctl.d/90-provision.conf"},
				{Path: "/etc/modules-load.d/provision.conf"},
				{Path: "/etc/systemd/network/05-provision.network"},
				{Path: "/etc/NetworkManager/conf.d/90-provision.conf"},
			},
			Prefixes: []string{"/var/lib/cni/results/provision-"},
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
				{"ip", "kube-proxy"}, {"ip6", "kube-proxy"},
				{"ip", "cni_hostport"}, {"ip6", "cni_hostport"}, // of the CNI plugin portmap
			},
			Dirs: []string{"/var/lib/kubelet", "/var/log/pods", "/var/log/containers"},
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
	list.Units = append(list.Units, "provision.target", "provision.slice")
	return list
}
