package worker_test

import (
	"net/netip"
	"testing"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/overlay"
)

// overlayOf is the overlay's file of the second machine.
func overlayOf(t *testing.T, c components.Cluster, f components.Facts) overlay.Config {
	t.Helper()
	files, _ := planned(c, c.Machines[1], f)
	config, err := overlay.ParseConfig([]byte(files["overlay.json"]))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestOffloadsAreOffWhereTheKernelBreaksThem(t *testing.T) {
	for kernel, broken := range map[string]bool{
		"": false, "unknown": false, "6.18.7": false, "6.12.43+deb13-amd64": false, "5.14.0-570.el9.x86_64": false,
		"7.0.0-rc3": true, "7.0": true, "7.0.12-arch1-1": true, "7.1": true, "7.1.4": true, "7.1.4-200.fc45.x86_64": true,
		"7.1.5": false, "7.1.40": false, "7.2.0-rc1": false, "70.1.0": false, "10.0.1": false,
	} {
		c := componentstest.Cluster("m1", "w1")
		f := components.Facts{Kernel: kernel}
		if got := overlayOf(t, c, f).NoOffloads; got != broken {
			t.Errorf("kernel %q: no offloads is %v", kernel, got)
		}
		for _, said := range []bool{true, false} {
			c.Overlay.Offloads = &said
			if got := overlayOf(t, c, f).NoOffloads; got == said {
				t.Errorf("kernel %q: offloads are %v, and were said to be %v", kernel, !got, said)
			}
		}
	}
}

func TestOverlaySwitches(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	if got := overlayOf(t, c, components.Facts{}); got.KeepaliveSeconds != 25 || got.Endpoint.IsValid() || got.PresharedKeyFile != "" {
		t.Errorf("%+v", got)
	}
	c.Overlay.Keepalive, c.Overlay.PSK = time.Minute, true
	c.Machines[1].Endpoint = netip.MustParseAddrPort("[2001:db8::7]:51000")
	if got := overlayOf(t, c, components.Facts{}); got.KeepaliveSeconds != 60 || got.Endpoint != c.Machines[1].Endpoint || got.PresharedKeyFile != components.PresharedKey {
		t.Errorf("%+v", got)
	}
	c.Overlay.Keepalive = 0
	if got := overlayOf(t, c, components.Facts{}); got.KeepaliveSeconds != 0 {
		t.Errorf("%+v", got)
	}
}
