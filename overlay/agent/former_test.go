package agent

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFormerPods(t *testing.T) {
	subnets := []netip.Prefix{netip.MustParsePrefix("10.244.3.0/24"), netip.MustParsePrefix("fd00:244:0:3::/64")}
	for _, c := range []struct {
		leases string
		want   string // what is named; "": nobody is
	}{
		{"", ""},
		{"lock last_reserved_ip.0 10.244.3.3 fd00:244:0:3::3", ""},
		{"lock last_reserved_ip.0 10.244.2.3 10.244.3.3", "(10.244.2.3)"},
		{"10.244.2.9 10.244.2.10 fd00:244:0:2::3", "(10.244.2.9, 10.244.2.10, fd00:244:0:2::3)"},
		{"10.244.2.3 10.244.2.4 10.244.2.5 10.244.2.6 10.244.2.7", "(10.244.2.3, 10.244.2.4, 10.244.2.5, 10.244.2.6, ...)"},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(c.leases) {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := formerPods(dir, subnets)
		if (len(got) == 1) != (c.want != "") || !strings.Contains(strings.Join(got, ""), c.want) {
			t.Errorf("%s: %q, want %q", c.leases, got, c.want)
		}
		if got := formerPods(dir, nil); got != nil {
			t.Errorf("before there is any subnet: %q", got)
		}
	}
	if got := formerPods(filepath.Join(t.TempDir(), "none"), subnets); got != nil {
		t.Errorf("%q", got)
	}
}
