package plan

import (
	"net"
	"strconv"

	"provision/components"
	"provision/provisioner/config"
)

// Wanted is the cluster that a file asks for, on the ground of a bundle.
func Wanted(file *config.File, bundle components.Bundle, version string) components.Cluster {
	c := components.Cluster{
		Name:    file.Cluster.Name,
		Version: version,
		Bundle:  bundle,
		Network: components.Network(file.Cluster.Network),
		Overlay: components.Overlay(file.Cluster.Overlay),
		Addons:  components.Addons(file.Cluster.Addons),
		Detect:  file.Cluster.Failover.Detect,
		Evict:   file.Cluster.Failover.Evict,

		Lifetime: file.Cluster.Lifetime,

		Endpoint:       file.Cluster.API.Endpoint,
		ExtraSANs:      file.Cluster.API.ExtraSANs,
		MaxUnavailable: components.Amount(file.Cluster.MaxUnavailable),
		Flags: components.Flags{
			APIServer:         flags(file.Cluster.Flags.APIServer),
			ControllerManager: flags(file.Cluster.Flags.ControllerManager),
			Scheduler:         flags(file.Cluster.Flags.Scheduler),
		},
	}
	for _, registry := range file.Cluster.Registries {
		c.Registries = append(c.Registries, components.Registry(registry))
	}
	for _, m := range file.Machines {
		spec := components.MachineSpec{
			Name:     m.Name,
			Role:     components.Role(m.Role),
			Address:  m.Address,
			Endpoint: m.Endpoint,
			Address6: m.Address6,
			Labels:   m.Labels,
			Kubelet:  m.Kubelet,
			Proxy:    m.Proxy,
			Sysctls:  m.Sysctls,
			HostKey:  m.SSH.HostKey,
			Login:    m.SSH.User + "@" + net.JoinHostPort(m.SSH.Host, strconv.Itoa(m.SSH.Port)),
		}
		if m.Taints != nil {
			spec.Taints = make([]components.Taint, 0, len(m.Taints))
		}
		for _, taint := range m.Taints {
			spec.Taints = append(spec.Taints, components.Taint(taint))
		}
		c.Machines = append(c.Machines, spec)
	}
	return c
}

func flags(of []config.Flag) []components.Flag {
	var flags []components.Flag
	for _, flag := range of {
		flags = append(flags, components.Flag(flag))
	}
	return flags
}
