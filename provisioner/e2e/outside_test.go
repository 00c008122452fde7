//go:build lab

package e2e

import (
	"encoding/json"
	"strings"

	"provision/provisioner/verify"
)

// outsideChecks are verify's results that are about the world, by check and machine.
func (l *lab) outsideChecks() map[string]verify.Result {
	l.t.Helper()
	results := map[string]verify.Result{}
	for line := range strings.Lines(l.provision(0, "verify", "--json").stdout) {
		var r verify.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			l.t.Fatalf("%q: %v", line, err)
		}
		if r.Check == "dns outside" || r.Check == "outside" {
			results[r.Check+" "+r.Subject] = r
		}
	}
	return results
}

// wantOutside checks the outcome of both checks on both machines, and a part of what is said.
func (l *lab) wantOutside(outcome verify.Outcome, said map[string]string) {
	l.t.Helper()
	results := l.outsideChecks()
	for _, check := range []string{"dns outside", "outside"} {
		for _, machine := range []string{"m1", "w1"} {
			if r := results[check+" "+machine]; r.Outcome != outcome || !strings.Contains(r.Detail, said[check]) {
				l.t.Errorf("%s %s: %+v, want %s with %q", check, machine, r, outcome, said[check])
			}
		}
	}
}
