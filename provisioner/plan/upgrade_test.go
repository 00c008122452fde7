package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/master"
	"provision/components/upgrade"
)

// of is the cluster with the bundle of another version. Their files are other ones,
// but for the agent, which is the same.
func of(c components.Cluster, version string) components.Cluster {
	agent := c.Bundle.Files["bin/agent"]
	c.Version = version
	c.Bundle.ID = version + "-0123456789ab"
	files := map[string]string{}
	for name, sum := range c.Bundle.Files {
		files[name] = sum
	}
	files["bin/agent"] = agent
	c.Bundle.Files = files
	return c
}

// upgradeOnce goes as `up` does: phase by phase, planned anew after each, and no further
// after an error.
func upgradeOnce(t *testing.T, c components.Cluster, s *componentstest.Site) ([]string, error) {
	t.Helper()
	if problems := Preflight(c, look(s)); len(problems) > 0 {
		return nil, problems[0]
	}
	var said []string
	announced := map[string]bool{}
	for machine, action := range Make(c, look(s), time.Now()).all() {
		announced[fmt.Sprintf("%s %s %T", machine, action.Component(), action)] = true
	}
	for _, phase := range []string{"agent", "machines", "cluster", "finalise", "kubelets", "ready", bundlesPhase} {
		for _, planned := range Rest(c, look(s), time.Now()).Phases {
			if planned.Name != phase || phase == "ready" {
				continue
			}
			for _, stage := range planned.Stages {
				for _, job := range stage.Jobs {
					for i, action := range job.Actions {
						if !announced[fmt.Sprintf("%s %s %T", job.Machine, action.Component(), action)] {
							t.Errorf("%s: %s: was not announced", job.Machine, action)
						}
						said = append(said, job.Machine+": "+action.String())
						err := action.Apply(t.Context(), s.Machines[job.Machine], s)
						if err == nil {
							continue
						}
						for _, later := range job.Actions[i+1:] { // as run does
							if r, is := later.(interface {
								Rescue(context.Context, components.Machine, components.Site, error) error
							}); is {
								err = r.Rescue(t.Context(), s.Machines[job.Machine], s, err)
							}
						}
						return said, fmt.Errorf("%s: %s: %w", job.Machine, action, err)
					}
				}
			}
		}
	}
	return said, nil
}

func index(t *testing.T, said []string, text string) int {
	t.Helper()
	i := slices.IndexFunc(said, func(line string) bool { return strings.Contains(line, text) })
	if i < 0 {
		t.Fatalf("nothing says %q:\n%s", text, strings.Join(said, "\n"))
	}
	return i
}

func TestAnUpgradeGoesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2")
		old, next := of(c, "1.35.4"), of(c, "1.36.3")
		s := site(c)
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		said, err := upgradeOnce(t, next, s)
		if err != nil {
			t.Fatal(err)
		}
		at := -1
		for _, text := range []string{
			"m1: keep a snapshot in", "m1: keep what runs", "m1: write /var/lib/provision/stamps/emulate", "m1: see that it serves",
			"m2: keep what runs", "m2: see that it serves", "m3: see that it serves",
			"m1: delete /var/lib/provision/stamps/emulate", "m3: delete /var/lib/provision/stamps/emulate",
			"w1: close node w1", "w1: see that it serves", "w1: let new pods come", "w2: close node w2", "w2: see that it serves", "w2: let new pods come",
		} {
			i := index(t, said, text)
			if i <= at {
				t.Errorf("%q comes too early:\n%s", text, strings.Join(said, "\n"))
			}
			at = i
		}
		for name, m := range s.Machines {
			f := m.Facts()
			if unsettled(f) || kubeletBundle(f) != next.Bundle.ID {
				t.Errorf("%s: unsettled %v, kubelet of %s", name, unsettled(f), kubeletBundle(f))
			}
			if unit, _ := m.File(components.Units + "/" + master.APIServer); strings.Contains(string(unit), "emulated-version") {
				t.Errorf("%s still behaves as the old version", name)
			}
		}
		if left := Make(next, look(s), time.Now()); !left.Empty() {
			t.Errorf("left to do: %+v", left)
		}
		// Finalised: there is no way back but the snapshot.
		if problems := Preflight(old, look(s)); len(problems) != 3 || !strings.Contains(problems[0].Text, "--rollback") {
			t.Errorf("back: %v", problems)
		}
	})
}

// A master whose new control plane does not come up goes back by itself, nothing more
// happens to the others, and once the reason is gone the same command goes on.
func TestAMasterThatDoesNotServeGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1")
		old, next := of(c, "1.35.4"), of(c, "1.36.3")
		s := site(c)
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		s.Machines["m2"].Breaks = func(unit string) bool {
			return strings.Contains(unit, next.Bundle.ID) && strings.Contains(unit, "node apiserver")
		}
		said, err := upgradeOnce(t, next, s)
		if err == nil || !strings.Contains(err.Error(), "provision-apiserver.service ends again and again; the last that it said: it did not like its flags; it went back to bundle 1.35.4-0123456789ab by itself, and serves") {
			t.Fatalf("error %v", err)
		}
		if last := said[len(said)-1]; last != "m2: see that it serves, or go back to what ran before" {
			t.Errorf("after it: %s", last)
		}
		found := look(s)
		for name, want := range map[string]string{"m1": next.Bundle.ID, "m2": old.Bundle.ID, "m3": old.Bundle.ID} {
			f := found.Machines[name]
			if planeBundle(f) != want || unsettled(f) {
				t.Errorf("%s runs %s, unsettled: %v", name, planeBundle(f), unsettled(f))
			}
		}
		if _, err := s.APIOf(t.Context(), "m2"); err != nil {
			t.Errorf("m2 does not serve: %v", err)
		}
		// Nothing was stored that the old one cannot read: back, and there again.
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		if f := look(s).Machines["m1"]; planeBundle(f) != old.Bundle.ID || f.Files[upgrade.EmulateFile] != (components.FileFact{}) {
			t.Errorf("m1 runs %s", planeBundle(f))
		}
		s.Machines["m2"].Breaks = nil
		if _, err := upgradeOnce(t, next, s); err != nil {
			t.Fatal(err)
		}
	})
}

// A worker whose new kubelet does not come up goes back by itself, takes pods again, and
// the others are left as they are.
func TestAWorkerThatDoesNotServeGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "w1", "w2")
		old, next := of(c, "1.35.4"), of(c, "1.36.3")
		s := site(c)
		if _, err := upgradeOnce(t, old, s); err != nil {
			t.Fatal(err)
		}
		s.Machines["w1"].Breaks = func(unit string) bool {
			return strings.Contains(unit, next.Bundle.ID) && strings.Contains(unit, "node kubelet")
		}
		if _, err := upgradeOnce(t, next, s); err == nil || !strings.Contains(err.Error(), "it went back to bundle 1.35.4-0123456789ab by itself, and serves") {
			t.Fatalf("error %v", err)
		}
		found := look(s)
		if kubeletBundle(found.Machines["w1"]) != old.Bundle.ID || kubeletBundle(found.Machines["w2"]) != old.Bundle.ID {
			t.Errorf("w1 runs %s, w2 %s", kubeletBundle(found.Machines["w1"]), kubeletBundle(found.Machines["w2"]))
		}
		s.Machines["w1"].Breaks = nil
		if _, err := upgradeOnce(t, next, s); err != nil {
			t.Fatal(err)
		}
	})
}

// A bundle that was built again is of the same version: what the Node says may be of before
// the restart, until its kubelet is heard.
func TestAnOldReadyIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "w1", "w2")
		first, again := of(c, "1.36.3"), of(c, "1.36.3")
		again.Bundle.ID = "1.36.3-ba9876543210"
		s := site(c)
		if _, err := upgradeOnce(t, first, s); err != nil {
			t.Fatal(err)
		}
		s.Cluster.Mute = map[string]bool{"w1": true}
		if err := s.Cluster.Apply(t.Context(), []byte("{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: w1, namespace: kube-node-lease}, spec: {renewTime: before}}")); err != nil {
			t.Fatal(err)
		}
		_, err := upgradeOnce(t, again, s)
		if err == nil || !strings.Contains(err.Error(), "w1: see that it serves, or go back to what ran before: does not serve: kubelet has not renewed the Lease of node w1 since it was restarted") {
			t.Fatalf("error %v", err)
		}
		if found := look(s); kubeletBundle(found.Machines["w1"]) != first.Bundle.ID || kubeletBundle(found.Machines["w2"]) != first.Bundle.ID {
			t.Errorf("w1 runs %s, w2 %s", kubeletBundle(found.Machines["w1"]), kubeletBundle(found.Machines["w2"]))
		}
		s.Cluster.Mute = nil
		if _, err := upgradeOnce(t, again, s); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUpgradeKilledAnywhere: whatever a run did, the next one brings all to the end.
func TestUpgradeKilledAnywhere(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2")
	old, next := of(c, "1.35.4"), of(c, "1.36.3")
	for after := 0; ; after += 7 {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			s := site(c)
			if _, err := upgradeOnce(t, old, s); err != nil {
				t.Fatal(err)
			}
			n := after
			for _, m := range s.Machines {
				m.Fail = func(string) error {
					if n--; n < 0 {
						return errDied
					}
					return nil
				}
			}
			_, err := upgradeOnce(t, next, s)
			for _, m := range s.Machines {
				m.Fail = nil
			}
			if ended = err == nil; !ended && !errors.Is(err, errDied) {
				t.Fatalf("after %d effects: %v", after, err)
			}
			if _, err := upgradeOnce(t, next, s); err != nil {
				t.Fatalf("after %d effects: %v", after, err)
			}
			for name, m := range s.Machines {
				if f := m.Facts(); unsettled(f) || kubeletBundle(f) != next.Bundle.ID {
					t.Fatalf("after %d effects %s: unsettled %v, kubelet of %s", after, name, unsettled(f), kubeletBundle(f))
				}
			}
			if left := Make(next, look(s), time.Now()); !left.Empty() {
				t.Fatalf("after %d effects: left to do: %+v", after, left)
			}
		})
		if ended || t.Failed() {
			return
		}
	}
}
