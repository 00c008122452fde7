package overlay

import (
	"net/netip"
	"testing"
)

func TestTakesAway(t *testing.T) {
	list := testNodes(2)
	list[0].PodCIDRs = append(list[0].PodCIDRs, "fd00:244:0:1::/64")
	list[1].PodCIDRs = append(list[1].PodCIDRs, "fd00:244:0:2::/64")
	c := testConfig()
	c.Pods = append(c.Pods, pods6)
	mesh, problems := Admit(c, testKey(1), Mesh{}, list)
	if len(problems) != 0 || len(mesh.Peers) != 1 {
		t.Fatal(mesh, problems)
	}
	want := Desired(c, mesh, 1500)
	for _, test := range []struct {
		prefix, device string
		metric         int
		takes          bool
	}{
		{"10.244.2.0/24", "eth0", 0, true}, // in the place of ours
		{"10.244.2.0/25", "eth0", 9, true}, // a part of it
		{"10.244.2.9/32", "", 0, true},
		{"10.244.1.0/25", "docker0", 0, true}, // of this machine's own
		{"10.244.77.0/24", "eth0", 0, true},   // nobody's yet
		{"10.244.0.0/16", "eth0", 0, true},
		{"fd00:244:0:2::/64", "eth0", 512, true},
		{"fd00:244:0:2::/65", "eth0", 1024, true},
		{"10.244.1.0/24", Bridge, 0, true}, // the kernel's own, which a CNI plugin that was quicker brought
		{"10.244.1.0/24", Bridge, 50, false},
		{"10.244.1.9/32", Bridge, 0, false}, // to a pod, where it is
		{"10.244.2.9/32", Tunnel, 0, false},
		{"10.244.0.0/16", "", 5, false}, // refuses what ours does
		{"10.244.77.0/24", "", 0, false},
		{"10.0.0.0/8", "eth0", 0, false}, // less than any of ours
		{"10.245.0.0/24", "eth0", 0, false},
		{"10.96.0.0/24", "eth0", 0, false}, // Services, which are rewritten before they go anywhere
		{"fd00::/16", "eth0", 0, false},
		{"192.0.2.0/24", "eth0", 0, false},
	} {
		stranger := Route{Prefix: netip.MustParsePrefix(test.prefix), Device: test.device, Metric: test.metric}
		if got := TakesAway(stranger, want.Routes, want.Rules.Pods); got != test.takes {
			t.Errorf("%+v: %v, want %v", stranger, got, test.takes)
		}
	}
}
