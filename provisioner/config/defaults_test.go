package config

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var comparable = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.IgnoreFields(File{}, "Path"),
	cmpopts.IgnoreFields(SSH{}, "KnownHosts"),
}

// The smallest file is a cluster and a machine; everything else has a default.
func TestDefaults(t *testing.T) {
	got, shown := load(t, `
		cluster "small" {}
		machine "m1" { address = "10.0.0.1" }
		machine "m2" { address = "10.0.0.2" }`, nil)
	if shown != "" {
		t.Fatal(shown)
	}
	machine := func(name string, role Role, address string) Machine {
		return Machine{Name: name, Role: role, Address: netip.MustParseAddr(address), SSH: SSH{Host: address, Port: 22, User: "root"}}
	}
	want := &File{
		Cluster: Cluster{
			Name: "small",
			Network: Network{
				Pods:     netip.MustParsePrefix("10.244.0.0/16"),
				NodeMask: 24,
				Services: netip.MustParsePrefix("10.96.0.0/16"),
				Domain:   "cluster.local",
			},
			Addons:   Addons{DNS: true, Metrics: true, Storage: true},
			Overlay:  Overlay{Mode: "auto", Port: 51820, Keepalive: 25 * time.Second},
			Failover: Failover{Detect: 6 * time.Second, Evict: 4 * time.Second},

			MaxUnavailable: Amount{Percent: 10},
		},
		Machines: []Machine{machine("m1", Master, "10.0.0.1"), machine("m2", Worker, "10.0.0.2")},
		SSH:      SSH{Port: 22, User: "root"},
	}
	if diff := cmp.Diff(want, got, comparable); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
