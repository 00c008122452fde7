package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/reach"
	"provision/provisioner/plan"
)

// prober is a machine whose agent answers trials: it listens until its input
// ends, and says that it cannot reach what it is told to.
type prober struct {
	components.Machine
	mu        sync.Mutex
	argv      []string
	listening bool
	key       []byte
	cannot    []reach.Failure
	broken    error
}

func (p *prober) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	p.mu.Lock()
	p.argv = append(p.argv, strings.Join(argv, " "))
	broken, cannot := p.broken, p.cannot
	p.mu.Unlock()
	if broken != nil || argv[0] == "rm" || argv[0] == "rmdir" {
		return nil, broken
	}
	decoder := json.NewDecoder(stdin)
	var request reach.Request
	if err := decoder.Decode(&request); err != nil {
		return nil, err
	}
	report := reach.Report{Failures: []reach.Failure{}}
	if slices.Contains(argv, "listen") {
		p.mu.Lock()
		p.listening, p.key = true, request.Key
		p.mu.Unlock()
		io.Copy(io.Discard, stdin)
	} else {
		report.Failures = cannot
	}
	return json.Marshal(report)
}

func (p *prober) did(words string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.argv, func(line string) bool { return strings.Contains(line, words) })
}

func probers(names ...string) (trial, map[string]*prober) {
	c := componentstest.Cluster(names...)
	found := plan.Facts{Machines: map[string]components.Facts{}}
	machines := map[string]*prober{}
	for _, name := range names {
		found.Machines[name] = components.Facts{}
		machines[name] = &prober{}
	}
	return trial{cluster: c, found: found, machine: func(name string) (components.Machine, error) { return machines[name], nil }}, machines
}

func TestATrialThatSucceedsLeavesTheAgents(t *testing.T) {
	tried, machines := probers("m1", "w1")
	if err := tried.run(soon(t), nil); err != nil {
		t.Fatal(err)
	}
	for name, m := range machines {
		if !m.listening || !m.did("probe reach") || m.did("rm ") {
			t.Errorf("%s: %q", name, m.argv)
		}
	}
	if !bytes.Equal(machines["m1"].key, machines["w1"].key) || len(machines["m1"].key) != 32 {
		t.Error("the machines do not share a key")
	}
	if machines["m1"].did(string(machines["m1"].key)) {
		t.Error("the key is in argv")
	}
}

func TestATrialThatFailsTakesTheAgentsAway(t *testing.T) {
	tried, machines := probers("m1", "w1", "w2")
	tried.found.Machines["w2"] = components.Facts{Agents: map[string]bool{tried.cluster.Agent(): true}}
	machines["w1"].cannot = []reach.Failure{{Endpoint: plan.Reach(tried.cluster, tried.found)["w1"].Dial[1].Endpoint, Reason: reach.Silent}}
	err := tried.run(soon(t), nil)
	if err == nil || !strings.Contains(err.Error(), "w1: cannot reach m1 at 192.0.2.1:6443 (TCP)") {
		t.Errorf("error %v", err)
	}
	for name, want := range map[string]bool{"m1": true, "w1": true, "w2": false} {
		if got := machines[name].did("rm -rf /opt/provision/agent-"); got != want {
			t.Errorf("%s: agent taken away: %v, want %v: %q", name, got, want, machines[name].argv)
		}
	}
}

func TestATrialOfABrokenMachineSaysSo(t *testing.T) {
	tried, machines := probers("m1", "w1")
	machines["w1"].broken = errors.New("connection lost")
	if err := tried.run(soon(t), nil); err == nil || !strings.Contains(err.Error(), "w1: probe reach: connection lost") {
		t.Errorf("error %v", err)
	}
}

func TestNothingIsTriedWhereNothingIsNew(t *testing.T) {
	tried, machines := probers("m1", "w1")
	for name := range tried.found.Machines {
		tried.found.Machines[name] = components.Facts{Units: map[string]components.UnitFact{"provision-kubelet.service": {Active: "active"}}}
	}
	if err := tried.run(soon(t), nil); err != nil || len(machines["m1"].argv)+len(machines["w1"].argv) > 0 {
		t.Errorf("error %v, %q, %q", err, machines["m1"].argv, machines["w1"].argv)
	}
	tried, machines = probers("m1", "w1")
	if err := tried.run(soon(t), []string{"w1"}); err != nil || len(machines["w1"].argv) > 0 {
		t.Errorf("a machine without an agent is asked: %v, %q", err, machines["w1"].argv)
	}
}
