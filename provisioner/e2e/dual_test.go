//go:build lab

package e2e

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"provision/provisioner/mesh"
	"provision/provisioner/verify"
)

// settings6 are the machine's parameters of IPv6, which traces.sh leaves out: of
// links that come and go, and secrets that are drawn anew.
const settings6 = `sysctl -a 2>/dev/null | grep '^net\.ipv6\.' | grep -vE 'conf\.(veth|bridge|wg)|neigh\.(veth|bridge|wg)|secret|route\.' | sort`

// TestDualStack brings up a cluster of both families on machines that have IPv6
// alone, uses it, and takes it away. IPv4 machines with both families are
// TestOverlay's.
func TestDualStack(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1", "--ip", "6")
	l.reachOutside()
	machines := []string{"m1", "w1"}
	before, settings := map[string][]string{}, map[string]string{}
	for _, m := range machines {
		settings[m], before[m] = l.on(m, "sh", "-c", settings6), l.look(m)
		if !strings.Contains(settings[m], "net.ipv6.conf.all.forwarding = 0\n") {
			t.Errorf("%s forwards IPv6 already: %s", m, settings[m])
		}
	}

	// A firewall for IPv6 is found before anything is installed.
	rule := []string{"ip", "-6", "rule", "add", "ipproto", "tcp", "sport", "6443", "blackhole"}
	l.on("m1", rule...)
	refused := l.provision(1, "up", "--yes").stderr
	for _, want := range []string{"w1: cannot reach m1 at [fd00:", "]:6443 (TCP): no answer comes", "open TCP 6443 on m1"} {
		if !strings.Contains(refused, want) {
			t.Errorf("no %q in %s", want, refused)
		}
	}
	rule[3] = "del"
	l.on("m1", rule...)

	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.wantBothFamilies()
	l.wantEverythingTwice(machines)
	l.wantTunnels(machines)
	l.wantKubeconfig()

	l.provision(0, "down", "--yes")
	for _, m := range machines {
		l.same(m, before[m])
		if after := l.on(m, "sh", "-c", settings6); after != settings[m] {
			for line := range strings.Lines(after) {
				if !strings.Contains(settings[m], line) {
					t.Errorf("%s was left with %s", m, line)
				}
			}
		}
	}
}

// wantBothFamilies checks that pods and DNS have an address of each.
func (l *lab) wantBothFamilies() {
	l.t.Helper()
	for what, argv := range map[string][]string{
		"CoreDNS's pods": {"get", "pods", "-n", "kube-system", "-l", "k8s-app=kube-dns", "-o", `jsonpath={range .items[*]}{.status.podIPs[*].ip}{"\n"}{end}`},
		"the nodes":      {"get", "nodes", "-o", `jsonpath={range .items[*]}{.spec.podCIDRs[0]} {.spec.podCIDRs[1]}{"\n"}{end}`},
		"DNS":            {"get", "service", "-n", "kube-system", "kube-dns", "-o", `jsonpath={.spec.clusterIPs[*]}{"\n"}`},
	} {
		said := l.kubectl(argv...)
		for line := range strings.Lines(said) {
			line = strings.NewReplacer(`"`, "", "[", "", "]", "", ",", " ").Replace(line)
			if fields := strings.Fields(line); len(fields) != 2 || strings.Contains(fields[0], ":") == strings.Contains(fields[1], ":") {
				l.t.Errorf("%s: %q", what, line)
			}
		}
		if said == "" {
			l.t.Errorf("%s: nothing", what)
		}
	}
}

// wantEverythingTwice checks that verify passes, in both families, and skips nothing.
func (l *lab) wantEverythingTwice(machines []string) {
	l.t.Helper()
	results := l.verified(0)
	for name, r := range results {
		if r.Outcome != verify.OK {
			l.t.Errorf("%s: %+v", name, r)
		}
	}
	for _, m := range machines {
		for _, check := range []string{"service", "service from host", "same machine", "hairpin", "dns"} {
			if _, there := results[check+" "+m+", IPv6"]; !there {
				l.t.Errorf("%s was not made on %s in IPv6", check, m)
			}
		}
		for _, check := range []string{"node port", "dns outside", "outside"} { // at IPv6 addresses of the machine and of the world
			if _, there := results[check+" "+m]; !there {
				l.t.Errorf("%s was not made on %s", check, m)
			}
		}
	}
	for _, pair := range []string{"m1 → w1", "w1 → m1"} {
		for _, check := range []string{"pod to pod", "host to pod", "large answers"} {
			if _, there := results[check+" "+pair+", IPv6"]; !there {
				l.t.Errorf("%s was not made on %s in IPv6", check, pair)
			}
		}
		// 1500 less IPv6's header, UDP's and WireGuard's.
		if r := results["path mtu "+pair]; r.Detail != "1420 bytes" {
			l.t.Errorf("path mtu %s: %+v", pair, r)
		}
	}
}

// wantTunnels checks that the tunnels go over IPv6, and are measured.
func (l *lab) wantTunnels(machines []string) {
	l.t.Helper()
	var m mesh.Mesh
	out := l.call(time.Minute, "bin/provision", "overlay", l.file, "--json")
	if err := json.Unmarshal([]byte(out.stdout), &m); err != nil {
		l.t.Fatalf("%v: %s", err, out.all())
	}
	for _, tunnel := range m.Tunnels {
		end, err := netip.ParseAddrPort(tunnel.Endpoint)
		// The first pings went before the tunnel was there, and count for some seconds.
		answers := tunnel.State == mesh.Well || tunnel.State == mesh.Lossy
		if err != nil || !end.Addr().Is6() || !answers || tunnel.RoundTripMS == 0 {
			l.t.Errorf("%+v", tunnel)
		}
	}
	for _, one := range m.Machines {
		if !slices.Contains(machines, one.Name) || len(one.Subnets) != 2 || len(one.Problems) > 0 {
			l.t.Errorf("%+v", one)
		}
	}
	if len(m.Tunnels) != 2 || len(m.Machines) != 2 {
		l.t.Errorf("%+v", m)
	}
}

// wantKubeconfig uses the administrator's kubeconfig from here, with the API
// server's address as it stands there.
func (l *lab) wantKubeconfig() {
	l.t.Helper()
	if status, err := l.askAPI("https://[fd00:"); err != nil || status != http.StatusOK {
		l.t.Errorf("as the administrator: %d, %v", status, err)
	}
}

// askAPI asks for a Node at the server that the kubeconfig names, which begins so.
func (l *lab) askAPI(server string) (status int, err error) {
	l.t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(l.provision(0, "kubeconfig").stdout))
	if err != nil {
		l.t.Fatal(err)
	}
	if !strings.HasPrefix(config.Host, server) {
		l.t.Errorf("the kubeconfig's server is %s", config.Host)
	}
	config.Timeout = 20 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		l.t.Fatal(err)
	}
	response, err := client.Get(config.Host + "/api/v1/nodes/w1")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	return response.StatusCode, nil
}
