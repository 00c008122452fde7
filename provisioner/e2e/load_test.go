//go:build lab

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"time"
)

// load keeps every core of every machine busy, and looks whether a Node was taken
// for lost meanwhile. All machines of a lab share the computer's cores, so each has
// far less than its own. PROVISION_LOAD says for how long (30s).
func (l *lab) load(machines ...string) {
	l.t.Helper()
	lasts := 30 * time.Second
	if text := os.Getenv("PROVISION_LOAD"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			l.t.Fatal(err)
		}
	}
	before := l.readySince(machines)
	for _, name := range machines {
		// --collect: nothing of it is left once it was stopped.
		l.on(name, "sh", "-c", `for i in $(seq $(nproc)); do systemd-run --quiet --collect --unit=burn-$i -p RuntimeMaxSec=2h sh -c 'while :; do :; done'; done`)
	}
	began := time.Now()
	for time.Since(began) < lasts {
		time.Sleep(min(time.Minute, lasts))
		l.t.Logf("after %s: %s", time.Since(began).Round(time.Second), strings.TrimSpace(l.on(machines[0], "cat", "/proc/loadavg", "/proc/pressure/cpu")))
	}
	for _, name := range machines {
		if busy := l.on(name, "sh", "-c", "systemctl is-active 'burn-*' | grep -cx active"); strings.TrimSpace(busy) == "0" {
			l.t.Errorf("%s was not kept busy", name)
		}
	}
	after := l.readySince(machines)
	lost := 0
	for name, since := range before {
		if after[name] != since {
			lost++
			l.t.Errorf("%s: Ready since %s, and before the load since %s", name, after[name], since)
		}
	}
	l.t.Logf("%s of load on every core of %d machines: %d Nodes wrongly NotReady", time.Since(began).Round(time.Second), len(machines), lost)
	for _, name := range machines {
		l.on(name, "systemctl", "stop", "burn-*")
	}
	if lost > 0 {
		l.t.Log(l.kubectl("get", "events", "-A", "--field-selector", "involvedObject.kind=Node", "--sort-by=.lastTimestamp"))
	}
}

// readySince returns when each Node's readiness changed last; every Node must be ready.
// Whoever is lost and comes back has another time.
func (l *lab) readySince(machines []string) map[string]string {
	l.t.Helper()
	var nodes struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   struct {
				Conditions []struct{ Type, Status, LastTransitionTime string }
			}
		}
	}
	if err := json.Unmarshal([]byte(l.kubectl("get", "nodes", "-o", "json")), &nodes); err != nil {
		l.t.Fatal(err)
	}
	since := map[string]string{}
	for _, node := range nodes.Items {
		for _, c := range node.Status.Conditions {
			if c.Type != "Ready" {
				continue
			}
			since[node.Metadata.Name] = c.LastTransitionTime
			if c.Status != "True" {
				l.t.Errorf("%s: Ready is %s", node.Metadata.Name, c.Status)
			}
		}
	}
	if len(since) != len(machines) {
		l.t.Fatalf("the readiness of %d Nodes, want %d: %v", len(since), len(machines), since)
	}
	return since
}
