package componentstest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/base"
	"provision/components/etcd"
	"provision/components/master"
	"provision/components/pki"
	"provision/components/runtime"
	"provision/components/worker"
)

// job is one machine's part of a plan.
type job struct {
	machine string
	actions []components.Action
}

// plan is everything that a site needs, from one look at it. The real one is
// provisioner/plan's; this one only keeps the order that components ask for.
func plan(c components.Cluster, site *Site) []job {
	var jobs []job
	cluster := site.Cluster.Facts()
	now := time.Now()
	part := func(of func(m components.MachineSpec, f components.Facts) []components.Action) {
		for _, m := range c.Machines {
			if actions := of(m, site.Machines[m.Name].Facts()); len(actions) > 0 {
				jobs = append(jobs, job{m.Name, actions})
			}
		}
	}
	part(func(m components.MachineSpec, f components.Facts) []components.Action { return base.Bundle(c, m, f) })
	part(func(m components.MachineSpec, f components.Facts) []components.Action { return base.Actions(c, m, f) })
	part(func(m components.MachineSpec, f components.Facts) []components.Action {
		if m.Name == c.Masters()[0].Name && f.Files[components.PKI+"/cluster-ca.crt"].SHA256 == "" {
			return []components.Action{pki.Init{Agent: c.Agent()}}
		}
		return nil
	})
	part(func(m components.MachineSpec, f components.Facts) []components.Action {
		if leaves := pki.Wanted(c, m, f, f, now); len(leaves) > 0 {
			return []components.Action{pki.Issue{Agent: c.Agent(), Signer: c.Masters()[0].Name, Leaves: leaves}}
		}
		return nil
	})
	part(func(m components.MachineSpec, f components.Facts) []components.Action {
		view := etcd.Look(c, map[string]components.Facts{m.Name: f})
		return etcd.Actions(c, m, f, view.Step(m))
	})
	for _, of := range []func(components.Cluster, components.MachineSpec, components.Facts) []components.Action{
		runtime.Actions, worker.Network, master.Actions,
	} {
		part(func(m components.MachineSpec, f components.Facts) []components.Action { return of(c, m, f) })
	}
	first := func(actions []components.Action) {
		if len(actions) > 0 {
			jobs = append(jobs, job{c.Masters()[0].Name, actions})
		}
	}
	first(addons.Access(c, c.Masters()[0], cluster))
	part(func(m components.MachineSpec, _ components.Facts) []components.Action {
		return addons.Nodes(c, m, cluster)
	})
	part(func(m components.MachineSpec, f components.Facts) []components.Action { return worker.Actions(c, m, f) })
	first(addons.Optional(c, cluster))
	first(addons.Inventory(c, cluster))
	return jobs
}

func apply(t *testing.T, site *Site, jobs []job) error {
	t.Helper()
	for _, j := range jobs {
		for _, action := range j.actions {
			if err := action.Apply(t.Context(), site.Machines[j.machine], site); err != nil {
				return fmt.Errorf("%s: %s: %s: %w", j.machine, action.Component(), action, err)
			}
		}
	}
	return nil
}

func text(jobs []job) string {
	var b strings.Builder
	for _, j := range jobs {
		for _, action := range j.actions {
			fmt.Fprintf(&b, "%s: %s: %s\n", j.machine, action.Component(), action)
		}
	}
	return b.String()
}

// converge applies one plan and wants the next to be empty.
func converge(t *testing.T, c components.Cluster, site *Site) {
	t.Helper()
	jobs := plan(c, site)
	if err := apply(t, site, jobs); err != nil {
		t.Fatal(err)
	}
	if again := plan(c, site); len(again) > 0 {
		t.Fatalf("after one plan there is still to do:\n%sThe plan was:\n%s", text(again), text(jobs))
	}
	for _, m := range c.Machines {
		wants := []string{"balancer", "containerd", "kubelet", "overlay", "proxy"}
		if worker.Userspace(c, site.Machines[m.Name].Facts()) {
			wants = append(wants, "wireguard")
		}
		if m.Role == components.Master {
			wants = append(wants, "apiserver", "certificates", "controller-manager", "etcd", "scheduler")
		}
		slices.Sort(wants)
		var got []string
		for _, name := range site.Machines[m.Name].Running() {
			if name, ok := strings.CutSuffix(name, ".service"); ok {
				got = append(got, strings.TrimPrefix(name, components.UnitName))
			}
		}
		for name, unit := range site.Machines[m.Name].Facts().Units {
			if unit.Stale {
				t.Fatalf("%s: %s runs with what it read before:\n%s", m.Name, name, text(jobs))
			}
		}
		if !slices.Equal(got, wants) {
			t.Fatalf("%s runs %v, where %v are wanted", m.Name, got, wants)
		}
	}
}

func TestOnePlanIsEnough(t *testing.T) {
	c := Cluster("m1", "w1", "w2")
	site := NewSite(c)
	converge(t, c, site)
	want := map[string]string{"node-role.kubernetes.io/worker": "", "kubernetes.io/hostname": "w1"}
	if labels := site.Cluster.Facts().Nodes["w1"].Labels; !maps.Equal(labels, want) {
		t.Errorf("w1 has the labels %v, want %v", labels, want)
	}
	if taints := site.Cluster.Facts().Nodes["m1"].Taints; !slices.Contains(taints, components.ControlPlaneTaint) {
		t.Errorf("m1 has the taints %v", taints)
	}
}

func TestOnlyWhatChangedIsRestarted(t *testing.T) {
	c := Cluster("m1", "w1")
	site := NewSite(c)
	converge(t, c, site)
	c.Detect = 12 * time.Second
	plan := text(plan(c, site))
	if strings.Contains(plan, "restart containerd") {
		t.Errorf("containerd has no part in failover:\n%s", plan)
	}
	for _, want := range []string{"m1: etcd: restart etcd", "m1: master: restart apiserver, controller-manager, scheduler", "w1: worker: restart kubelet, proxy"} {
		if !strings.Contains(plan, want) {
			t.Errorf("missing %q in\n%s", want, plan)
		}
	}
	converge(t, c, site)
}

func TestUpgradeLeavesTheAgentRunning(t *testing.T) {
	c := Cluster("m1", "w1")
	site := NewSite(c)
	converge(t, c, site)
	c.Version, c.Bundle.ID = "1.36.4", "1.36.4-aaaaaaaaaaaa"
	plan := text(plan(c, site))
	for _, not := range []string{"balancer", "overlay", "wireguard", "send the agent"} {
		if strings.Contains(plan, not) {
			t.Errorf("%q in\n%s", not, plan)
		}
	}
	if !strings.Contains(plan, "w1: worker: restart kubelet, proxy") {
		t.Errorf("kubelet stays old:\n%s", plan)
	}
	converge(t, c, site)
}

// TestAKernelThatGotWireGuard shows that the process which stood in for it ends.
func TestAKernelThatGotWireGuard(t *testing.T) {
	c := Cluster("m1", "w1")
	site := NewSite(c)
	converge(t, c, site)
	site.Machines["w1"].Loadable["wireguard"] = true
	if plan := text(plan(c, site)); !strings.Contains(plan, "w1: network: stop wireguard\n") {
		t.Errorf("the process goes on:\n%s", plan)
	}
	converge(t, c, site)
	site.Machines["w1"].Reboot()
	if slices.Contains(site.Machines["w1"].Running(), "provision-wireguard.service") {
		t.Error("the process comes back with the next boot")
	}
}

func TestRebootNeedsNoRun(t *testing.T) {
	c := Cluster("m1", "w1")
	site := NewSite(c)
	converge(t, c, site)
	before := site.Machines["m1"].Running()
	for _, m := range site.Machines {
		m.Reboot()
	}
	if after := site.Machines["m1"].Running(); !slices.Equal(before, after) {
		t.Errorf("after a reboot m1 runs %v, before it ran %v", after, before)
	}
	if again := plan(c, site); len(again) > 0 {
		t.Errorf("after a reboot there is to do:\n%s", text(again))
	}
}

// TestRandomWalk does to a site what people, power and killed runs do, and then
// wants one plan to be enough.
func TestRandomWalk(t *testing.T) {
	walks := 100
	if testing.Short() {
		walks = 20
	}
	for seed := range walks {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(seed), 0))
			c := Cluster("m1", "w1", "w2")
			site := NewSite(c)
			var done []string
			defer func() {
				if t.Failed() {
					t.Logf("after %s", strings.Join(done, ", "))
				}
			}()
			for range 4 {
				for range 1 + random.IntN(3) {
					done = append(done, disturb(t, random, &c, site))
				}
				converge(t, c, site)
			}
		})
	}
}

var errKilled = errors.New("the run was killed")

// disturb does one thing and says what.
func disturb(t *testing.T, random *rand.Rand, c *components.Cluster, site *Site) string {
	spec := c.Machines[random.IntN(len(c.Machines))]
	m := site.Machines[spec.Name]
	switch random.IntN(8) {
	case 0: // a run that dies at some effect
		jobs := plan(*c, site)
		effects := 1
		for _, j := range jobs {
			effects += len(j.actions)
		}
		left := random.IntN(effects)
		fail := func(string) error {
			if left--; left < 0 {
				return errKilled
			}
			return nil
		}
		for _, m := range site.Machines {
			m.Fail = fail
		}
		err := apply(t, site, jobs)
		for _, m := range site.Machines {
			m.Fail = nil
		}
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		return fmt.Sprintf("a run that died: %v", err)
	case 1:
		m.Reboot()
		return "reboot " + spec.Name
	case 2:
		if name := pick(random, m.Facts().Files); name != "" {
			m.Remove(name)
			return "remove " + name + " of " + spec.Name
		}
	case 3:
		if name := pick(random, m.Facts().Files); name != "" && !strings.HasPrefix(name, components.PKI) {
			if err := m.WriteFile(t.Context(), name, 0o600, []byte("# edited\n")); err != nil {
				t.Fatal(err)
			}
			return "edit " + name + " of " + spec.Name
		}
	case 4:
		if name := pick(random, m.Facts().Units); name != "" {
			m.Stop(name)
			return "stop " + name + " of " + spec.Name
		}
	case 5:
		m.SetSysctl("net.ipv4.ip_forward", "0")
		return "forwarding off on " + spec.Name
	case 6:
		c.Detect = time.Duration(6+random.IntN(10)) * time.Second
		return "detect = " + c.Detect.String()
	case 7:
		for i := range c.Machines {
			if c.Machines[i].Name == spec.Name {
				c.Machines[i].Labels = map[string]string{"disk": fmt.Sprint(random.IntN(3))}
			}
		}
		return "labels of " + spec.Name
	}
	return "nothing"
}

// pick returns one of the names, in a way that only the seed decides.
func pick[V any](random *rand.Rand, of map[string]V) string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return names[random.IntN(len(names))]
}
