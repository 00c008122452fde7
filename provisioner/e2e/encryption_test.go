//go:build lab

package e2e

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"provision/provisioner/verify"
)

// encryption has verify look at the wire: while all is well, while pods'
// packets are led around the tunnel on purpose, and after that was mended. And it
// has it find a path that is too narrow. Pods have both families, on machines that
// have them too and reach each other over IPv4.
func (l *lab) encryption() {
	t := l.t
	l.wantSealed()

	l.apply(`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny-all","namespace":"default"},"spec":{"podSelector":{}}}`)
	said := l.provision(0, "status").all()
	for _, want := range []string{"default/deny-all), and nothing in this cluster enforces them", verify.Limit} {
		if !strings.Contains(said, want) {
			t.Errorf("status does not say %q:\n%s", want, said)
		}
	}

	l.bypass("m1", "w1")
	l.bypass("w1", "m1")
	results := l.verified(1)
	for _, machine := range []string{"m1", "w1"} {
		r := results["encryption "+machine]
		if r.Outcome != verify.Failed || !regexp.MustCompile(`^[1-9][0-9]* packets of pods were in clear on eth0 \(IPv4 TCP, IPv4 UDP, IPv6 TCP, IPv6 UDP\): `).MatchString(r.Detail) {
			t.Errorf("around the tunnel: %+v", r)
		}
		t.Logf("around the tunnel: %s: %s", machine, r.Detail)
		pair := "pod to pod " + machine + " → " + map[string]string{"m1": "w1", "w1": "m1"}[machine]
		for _, family := range []string{"", ", IPv6"} {
			if r := results[pair+family]; r.Outcome != verify.OK {
				t.Errorf("the way around leads nowhere, and proves nothing: %+v", r)
			}
		}
	}

	// Agents take away what leads around them, of both families.
	l.on("m1", "systemctl", "start", "provision-overlay")
	l.on("w1", "systemctl", "start", "provision-overlay")
	eventually(t, "the agents have put their routes back", func() (bool, string) {
		const ask = "ip route; ip -6 route | grep ^fd00:244"
		routes := l.on("m1", "sh", "-c", ask) + l.on("w1", "sh", "-c", ask)
		around := regexp.MustCompile(`(10\.244\.|fd00:244:)[^ ]* (via|nhid)`).MatchString(routes)
		return strings.Count(routes, "dev wg0") == 4 && !around, routes
	})
	l.wantSealed()
	l.narrow(t)
}

// narrow takes large packets away on their way to w1, as where a link on the way
// has an MTU of 1400 and nobody says so; and does what verify says then.
func (l *lab) narrow(t testing.TB) {
	// The lab's cables carry many datagrams joined to one, which no such link would.
	l.on("m1", "ip", "link", "set", "eth0", "gso_max_segs", "1")
	l.on("w1", "sh", "-c", `nft=$(echo /opt/provision/[0-9]*/nft/nft)
		$nft add table inet narrow
		$nft add chain inet narrow input '{ type filter hook input priority -300; }'
		$nft add rule inet narrow input udp dport 51820 meta length gt 1400 drop`)
	// What is known already is not looked at again for a minute.
	l.on("m1", "systemctl", "restart", "provision-overlay")
	time.Sleep(2 * time.Second)
	results := l.verified(1)
	advice := regexp.MustCompile(
		`^packets of 1420 bytes do not arrive at w1, of 13[0-9][0-9] they do: set overlay \{ mtu = (13[0-9][0-9]) \}$`).FindStringSubmatch(results["path mtu m1 → w1"].Detail)
	if advice == nil {
		t.Fatalf("a narrow path: %+v", results["path mtu m1 → w1"])
	}
	if r := results["path mtu w1 → m1"]; r.Outcome != verify.OK {
		t.Errorf("the way back: %+v", r)
	}
	if r := results["encryption m1"]; r.Outcome != verify.OK {
		t.Errorf("what passes a narrow path: %+v", r)
	}
	l.insert("  overlay { mtu = " + advice[1] + " }\n")
	l.provision(0, "up", "--yes")
	results = l.verified(0)
	for _, pair := range []string{"m1 → w1", "w1 → m1"} {
		if r := results["path mtu "+pair]; r.Outcome != verify.OK || r.Detail != advice[1]+" bytes" {
			t.Errorf("as verify said: %+v", r)
		}
	}
}

// bypass leads a machine's packets for the pods of another one to that machine's
// own address, past wg0, with nobody there to mend it.
func (l *lab) bypass(from, to string) {
	l.t.Helper()
	both := func(path string) []string {
		fields := strings.Fields(l.kubectl("get", "node", to, "-o", "jsonpath="+path))
		if len(fields) != 2 {
			l.t.Fatalf("%s of %s is %q, and not one of each family", path, to, fields)
		}
		return fields
	}
	subnets := both(`{.spec.podCIDRs[0]} {.spec.podCIDRs[1]}`)
	addresses := both(`{.status.addresses[?(@.type=="InternalIP")].address}`)
	l.on(from, "sh", "-c", "systemctl stop provision-overlay && $(echo /opt/provision/[0-9]*/nft/nft) delete table inet provision-overlay && "+
		"ip route del "+subnets[0]+" dev wg0 && ip -6 route del "+subnets[1]+" dev wg0")
	l.on(from, "ip", "route", "add", subnets[0], "via", addresses[0])
	l.on(from, "ip", "-6", "route", "add", subnets[1], "via", addresses[1])
}

// wantSealed checks that verify passes, and has seen WireGuard alone on both machines.
func (l *lab) wantSealed() {
	l.t.Helper()
	results := l.verified(0)
	for _, machine := range []string{"m1", "w1"} {
		r := results["encryption "+machine]
		if r.Outcome != verify.OK || !regexp.MustCompile(`^none of [1-9][0-9]* packets in clear, [1-9][0-9]* of WireGuard`).MatchString(r.Detail) {
			l.t.Errorf("%+v", r)
		}
		l.t.Logf("%s: %s", machine, r.Detail)
	}
	for _, pair := range []string{"m1 → w1", "w1 → m1"} {
		if r := results["path mtu "+pair]; r.Outcome != verify.OK {
			l.t.Errorf("%+v", r)
		}
	}
}

// verified runs verify, which must end as wanted, and returns what it found by
// check and subject.
func (l *lab) verified(want int) map[string]verify.Result {
	l.t.Helper()
	results := map[string]verify.Result{}
	for line := range strings.Lines(l.provision(want, "verify", "--json").stdout) {
		var r verify.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			l.t.Fatalf("%q: %v", line, err)
		}
		results[r.Check+" "+r.Subject] = r
	}
	return results
}
