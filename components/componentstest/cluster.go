package componentstest

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"provision/components"
)

// Cluster is a wanted cluster with machines of these names: one that begins
// with m is a master, any other a worker. Their addresses are 192.0.2.1, .2, ...
func Cluster(names ...string) components.Cluster {
	sum := func(text string) string { return components.Sum([]byte(text)) }
	c := components.Cluster{
		Name:    "site",
		Version: "1.36.3",
		Bundle: components.Bundle{
			ID:   "1.36.3-0123456789ab",
			Arch: "amd64",
			Files: map[string]string{
				"bin/agent": sum("agent"), "bin/node": sum("node"), "bin/containerd": sum("containerd"),
				"images/pause.tar": sum("pause"), "images/coredns.tar": sum("coredns"), "images/volume.tar": sum("volume"),
				"images/metrics-server.tar": sum("metrics-server"), "images/local-path-provisioner.tar": sum("local-path-provisioner"),
			},
			Images: []components.Image{
				{Name: "provision.internal/coredns:1.15.0", File: "images/coredns.tar"},
				{Name: "provision.internal/local-path-provisioner:0.0.30", File: "images/local-path-provisioner.tar"},
				{Name: "provision.internal/metrics-server:0.9.0", File: "images/metrics-server.tar"},
				{Name: "provision.internal/pause:3.10", File: "images/pause.tar"},
				{Name: "provision.internal/volume:1", File: "images/volume.tar"},
			},
		},
		Network: components.Network{
			Pods: netip.MustParsePrefix("10.244.0.0/16"), NodeMask: 24,
			Services: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local",
		},
		Addons:  components.Addons{DNS: true, Metrics: true, Storage: true},
		Overlay: components.Overlay{Mode: "auto", Port: components.PortWireGuard, Keepalive: 25 * time.Second},
		Detect:  6 * time.Second,
		Evict:   4 * time.Second,
	}
	for i, name := range names {
		m := components.MachineSpec{Name: name, Role: components.Worker, Address: netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", i+1))}
		if strings.HasPrefix(name, "m") {
			m.Role = components.Master
		}
		c.Machines = append(c.Machines, m)
	}
	return c
}
