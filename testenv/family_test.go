package testenv

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAddressesOfEachFamily(t *testing.T) {
	for ip, want := range map[string][]string{
		"":           {"192.168.60.11 [192.168.60.254] 203.0.113.10"},
		onlyIPv4:     {"192.168.60.11 [192.168.60.254] 203.0.113.10"},
		onlyIPv6:     {"fd00:192:168:60::11 [fd00:192:168:60::254] 2001:db8::10"},
		bothFamilies: {"192.168.60.11,fd00:192:168:60::11 [192.168.60.254 fd00:192:168:60::254] 203.0.113.10"},
	} {
		l := testLabIn("/lab")
		m := dress(ip, l.Machines)[0]
		said := m.Address.String()
		if m.Address6.IsValid() {
			said += "," + m.Address6.String()
		}
		var gateways []string
		for _, g := range l.gateways(m) {
			gateways = append(gateways, g.String())
		}
		said += " [" + strings.Join(gateways, " ") + "] " + m.nameServer().String()
		if diff := cmp.Diff(want, []string{said}); diff != "" {
			t.Errorf("--ip %q: %s", ip, diff)
		}
	}
}

// A station's link address is its own, whatever its IP address is.
func TestLinkAddressesDoNotCollide(t *testing.T) {
	subnet := netip.MustParsePrefix("192.168.60.0/24")
	for _, ip := range []string{onlyIPv4, onlyIPv6} {
		seen := map[string]bool{linkAddress(host(subnet, 254)).String(): true, linkAddress(host(subnet, 1)).String(): true}
		for _, m := range dress(ip, newMachines(subnet, mostMasters, mostWorkers)) {
			mac := linkAddress(m.Address)
			if seen[mac.String()] || len(mac) != 6 || mac[0]&3 != 2 {
				t.Errorf("--ip %s: %s has %s", ip, m.Address, mac)
			}
			seen[mac.String()] = true
		}
	}
}

func TestTheClusterFileHasTheMachinesFamilies(t *testing.T) {
	for ip, want := range map[string]string{
		onlyIPv4:     `address = "192.168.60.11" ssh {`,
		onlyIPv6:     `address = "fd00:192:168:60::11" ssh {`,
		bothFamilies: `address = "192.168.60.11" address6 = "fd00:192:168:60::11" ssh {`,
	} {
		l := testLabIn(t.TempDir())
		l.IP, l.Machines = ip, dress(ip, l.Machines)
		if _, _, err := l.writeKeys(); err != nil {
			t.Fatal(err)
		}
		if err := l.writeCluster(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(l.Dir, "cluster.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Join(strings.Fields(string(text)), " ")
		if !strings.Contains(fields, want) || strings.Contains(fields, "fd00:244::/56") != (ip != onlyIPv4) {
			t.Errorf("--ip %s: no %s in\n%s", ip, want, text)
		}
	}
}
