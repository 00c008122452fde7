package templates

import (
	"net/netip"
	"strings"
	"testing"
)

// TestDualStack pins the lines that two families make different; the goldens
// are those of a cluster of IPv4 alone.
func TestDualStack(t *testing.T) {
	pods := append(pods[:1:1], netip.MustParsePrefix("fd00:244::/56"))
	services := append(services[:1:1], netip.MustParsePrefix("fd00:96::/112"))
	address6 := netip.MustParseAddr("2001:db8::11")
	for _, c := range []struct {
		name, lines string
		text        []byte
	}{
		{"apiserver", "  --service-cluster-ip-range=10.96.0.0/16,fd00:96::/112 \\\n",
			APIServerService(APIServer{Process: process, Address: address, Port: 6443, Services: services, Domain: "cluster.local"})},
		{"controller manager", "  --cluster-cidr=10.244.0.0/16,fd00:244::/56 \\\n" +
			"  --node-cidr-mask-size-ipv4=24 \\\n  --node-cidr-mask-size-ipv6=64 \\\n" +
			"  --service-cluster-ip-range=10.96.0.0/16,fd00:96::/112 \\\n",
			ControllerManagerService(ControllerManager{Process: process, Election: election, Pods: pods, NodeMask: 24, NodeMask6: 64, Services: services})},
		{"kubelet", "  --node-ip=192.0.2.11,2001:db8::11\n",
			KubeletService(Kubelet{Process: process, Name: "w1", Addresses: []netip.Addr{address, address6}})},
		{"proxy", "\nclusterCIDR: 10.244.0.0/16,fd00:244::/56\n", ProxyYAML(ProxyConfig{Name: "w1", Address: address, Pods: pods})},
		{"proxy on IPv6", "\nhealthzBindAddress: \"[2001:db8::11]:10256\"\n", ProxyYAML(ProxyConfig{Name: "w1", Address: address6, Pods: pods})},
		{"node ports", "\nnodePortAddresses: [\"192.0.2.11/32\", \"::1/128\"]\n", ProxyYAML(ProxyConfig{Name: "w1", Address: address, Pods: pods,
			NodePorts: []netip.Prefix{netip.MustParsePrefix("192.0.2.11/32"), netip.MustParsePrefix("::1/128")}})},
		{"coredns", "  clusterIP: 10.96.0.10\n  clusterIPs: [\"10.96.0.10\", \"fd00:96::a\"]\n  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: PreferDualStack\n",
			CoreDNSYAML(CoreDNS{Address: netip.MustParseAddr("10.96.0.10"), Address6: netip.MustParseAddr("fd00:96::a"), Domain: "cluster.local"})},
	} {
		if !strings.Contains(string(c.text), c.lines) {
			t.Errorf("%s: no %q in\n%s", c.name, c.lines, c.text)
		}
	}
}
