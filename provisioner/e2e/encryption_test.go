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

// TestEncryption has verify look at the wire: while all is well, while pods'
// packets are led around the tunnel on purpose, and after that was mended. And it
// has it find a path that is too narrow.
func TestEncryption(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1")
	l.provision(0, "up", "--yes")
	l.wantSealed()

	l.apply(`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"deny-all","namespace":"default"},"spec":{"podSelector":{}}}`)
	said := l.provision(0, "status").all()
	for _, want := range []string{"default/deny-all), and nothing in this cluster enforces them", verify.Limit} {
		if !strings.Contains(said, want) {
			t.Errorf("status does not say %q:\n%s", want, said)
		}
	}

	l.bypass("m1", "w1", "replace")
	l.bypass("w1", "m1", "replace")
	results := l.verified(1)
	for _, machine := range []string{"m1", "w1"} {
		r := results["encryption "+machine]
		if r.Outcome != verify.Failed || !regexp.MustCompile(`^[1-9][0-9]* packets of pods were in clear on eth0`).MatchString(r.Detail) {
			t.Errorf("around the tunnel: %+v", r)
		}
		if r := results["pod to pod "+machine+" → "+map[string]string{"m1": "w1", "w1": "m1"}[machine]]; r.Outcome != verify.OK {
			t.Errorf("the way around leads nowhere, and proves nothing: %+v", r)
		}
	}

	// The agent comes first: what is led around while it runs is dropped, and not in clear.
	l.on("m1", "systemctl", "start", "provision-overlay")
	l.on("w1", "systemctl", "start", "provision-overlay")
	results = l.verified(1)
	for _, machine := range []string{"m1", "w1"} {
		if r := results["encryption "+machine]; r.Outcome == verify.OK || strings.Contains(r.Detail, "in clear") {
			t.Errorf("around the tunnel, with the agent: %+v", r)
		}
	}
	l.bypass("m1", "w1", "del")
	l.bypass("w1", "m1", "del")
	eventually(t, "the agents have put their routes back", func() (bool, string) {
		routes := l.on("m1", "ip", "route") + l.on("w1", "ip", "route")
		return strings.Count(routes, "dev wg0") == 2, routes
	})
	l.wantSealed()
	l.narrow(t)
}

// narrow takes large packets away on their way to w1.
func (l *lab) narrow(t *testing.T) {
	l.on("w1", "sh", "-c", `nft=$(echo /opt/provision/[0-9]*/nft/nft)
		$nft add table inet narrow
		$nft add chain inet narrow input '{ type filter hook input priority -300; }'
		$nft add rule inet narrow input udp dport 51820 meta length gt 1440 drop`)
	// What is known already is not looked at again for a minute.
	l.on("m1", "systemctl", "restart", "provision-overlay")
	time.Sleep(2 * time.Second)
	results := l.verified(1)
	if r := results["path mtu m1 → w1"]; r.Outcome != verify.Failed || !regexp.MustCompile(
		`^packets of 1420 bytes do not arrive at w1, of 13[0-9][0-9] they do: set overlay \{ mtu = 13[0-9][0-9] \}$`).MatchString(r.Detail) {
		t.Errorf("a narrow path: %+v", r)
	}
	if r := results["path mtu w1 → m1"]; r.Outcome != verify.OK {
		t.Errorf("the way back: %+v", r)
	}
	if r := results["encryption m1"]; r.Outcome != verify.OK {
		t.Errorf("what passes a narrow path: %+v", r)
	}
}

// bypass leads a machine's packets for the pods of another one to that machine's
// own address, past wg0, with nobody there to mend it; or takes that back.
func (l *lab) bypass(from, to, verb string) {
	l.t.Helper()
	subnet := strings.TrimSpace(l.kubectl("get", "node", to, "-o", "jsonpath={.spec.podCIDR}"))
	address := strings.TrimSpace(l.kubectl("get", "node", to, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`))
	if verb == "replace" {
		l.on(from, "sh", "-c", "systemctl stop provision-overlay && $(echo /opt/provision/[0-9]*/nft/nft) delete table inet provision-overlay && ip route del "+subnet+" dev wg0")
	}
	l.on(from, "ip", "route", verb, subnet, "via", address)
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
