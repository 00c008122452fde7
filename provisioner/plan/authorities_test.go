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
	"provision/components/actions"
	"provision/components/componentstest"
	"provision/components/pki"
)

// rotate carries a change of the authorities out as `certs rotate --ca` does, looking
// again after each phase, and returns what was done.
func rotate(s *componentstest.Site, c components.Cluster, watch func() error) (said string, err error) {
	begin, done := true, map[string]bool{}
	for range 20 {
		found := look(s)
		begin = begin && !Rotating(c, found)
		p := RotateAuthorities(c, found, begin, time.Now())
		if p.Empty() {
			return said, nil
		}
		phase := p.Phases[0]
		if done[phase.Name] {
			return said, fmt.Errorf("%s did not last: %+v", phase.Name, phase)
		}
		done[phase.Name] = true
		for _, stage := range phase.Stages {
			for _, job := range stage.Jobs {
				for _, action := range job.Actions {
					said += phase.Name + ": " + job.Machine + ": " + action.String() + "\n"
					if err := action.Apply(context.Background(), s.Machines[job.Machine], s); err != nil {
						return said, fmt.Errorf("%s: %s: %w", job.Machine, action, err)
					}
					if err := watch(); err != nil {
						return said, fmt.Errorf("after %s: %s: %w", job.Machine, action, err)
					}
				}
			}
		}
	}
	return said, errors.New("it does not end")
}

// strangersAmong says which machine would refuse the certificate of another one: its own
// authority is not among those that the first trusts.
func strangersAmong(s *componentstest.Site) error {
	for reader, m := range s.Machines {
		trusted, _ := m.File(pki.TrustFile(pki.ClusterCA))
		for writer, other := range s.Machines {
			f := other.Facts()
			signs := f.Certificates[pki.ClusterCA].PEM
			for _, leaf := range []string{"kubelet", "apiserver"} {
				have, there := f.Certificates[leaf]
				if !there {
					continue
				}
				issuer := signs
				if have.Authority != components.Sum([]byte(signs)) { // of the one before
					issuer = f.Certificates["previous/"+pki.ClusterCA].PEM
				}
				if issuer != "" && !strings.Contains(string(trusted), issuer) {
					return fmt.Errorf("%s does not trust the %s of %s", reader, leaf, writer)
				}
			}
		}
	}
	return nil
}

func checkRotated(t *testing.T, c components.Cluster, s *componentstest.Site, before map[string]string) {
	t.Helper()
	first := s.Machines[c.Masters()[0].Name].Facts()
	for name, m := range s.Machines {
		f := m.Facts()
		for _, authority := range pki.Authorities {
			if authority != pki.ClusterCA && !strings.HasPrefix(name, "m") {
				continue
			}
			trusted, _ := m.File(pki.TrustFile(authority))
			if now := first.Certificates[authority].PEM; string(trusted) != now || now == before[authority] {
				t.Errorf("%s trusts %q, want %q alone, other than %q", name, trusted, now, before[authority])
			}
		}
		for leaf, have := range f.Certificates {
			if have.CommonName != "" && !slices.ContainsFunc(pki.Authorities, func(a string) bool { return pki.Sum(first, a) == have.Authority }) {
				t.Errorf("%s: %s is of another authority", name, leaf)
			}
		}
		if serving := f.Certificates[pki.KubeletServer]; serving.Authority != pki.Sum(first, pki.ClusterCA) {
			t.Errorf("%s: kubelet serves with another authority's certificate", name)
		}
		if pki.HasNext(f) || pki.HasPrevious(f) || pki.HasRetired(f) {
			t.Errorf("%s: something is left of the change: %v", name, f.Files)
		}
	}
	if left := Make(c, look(s), time.Now()); !left.Empty() {
		t.Errorf("left to do: %+v", left)
	}
}

func authoritiesOf(s *componentstest.Site) map[string]string {
	before := map[string]string{}
	for _, authority := range pki.Authorities {
		before[authority] = s.Machines["m1"].Facts().Certificates[authority].PEM
	}
	return before
}

func TestRotateAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2")
		s := site(c)
		must(t, c, s)
		before := authoritiesOf(s)
		if problems := CheckRotation(c, look(s), true, time.Now()); len(problems) > 0 {
			t.Fatal(problems)
		}
		p := RotateAuthorities(c, look(s), true, time.Now())
		var names []string
		for _, phase := range p.Phases {
			names = append(names, phase.Name)
		}
		if want := []string{"authorities", "trust both", "sign", "kubelets", "drop", "ready"}; !slices.Equal(names, want) {
			t.Errorf("phases %v, want %v", names, want)
		}
		announced := map[string]bool{}
		for machine, action := range p.all() {
			announced[machine+fmt.Sprintf("%T", action)+action.Component()] = true
		}
		logs := map[string]int{}
		for name, m := range s.Machines {
			logs[name] = len(m.Log())
		}
		said, err := rotate(s, c, func() error { return strangersAmong(s) })
		if err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		checkRotated(t, c, s, before)
		for _, want := range []string{
			"sign: m1: begin the pods of metrics-server anew\n", "drop: m1: begin the pods of metrics-server anew\n",
			"drop: m1: begin the pods of local-path-provisioner anew\n", "drop: m1: publish anew whom extension servers are to believe\n",
			"drop: m1: wait 30s, until every process uses its new certificate\ndrop: m1: retire the authorities of before\n",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("not done: %s", want)
			}
		}
		if got, want := restartedBy(s, logs), planned(p); !slices.Equal(got, want) {
			t.Errorf("restarted %v, planned %v", got, want)
		}
		// What a machine calls with is restarted once, what it is called at twice.
		var counted []string
		for _, r := range p.Restarts() {
			counted = append(counted, fmt.Sprintf("%s %d", strings.Join(r.Units, "+"), len(slices.Concat(r.Batches...))))
		}
		if want := []string{"etcd+apiserver+controller-manager 3", "kubelet 5", "etcd+apiserver+controller-manager+scheduler 3", "kubelet+proxy 5"}; !slices.Equal(counted, want) {
			t.Errorf("restarts %q, want %q", counted, want)
		}
	})
}

// TestRotateKilledAnywhere: a change of the authorities that ends anywhere is gone on with
// by the next run, and `up` does nothing until then.
func TestRotateKilledAnywhere(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "w1")
	for after := 0; ; after += 4 {
		ended := false
		synctest.Test(t, func(t *testing.T) {
			s := site(c)
			must(t, c, s)
			before := authoritiesOf(s)
			n := after
			for _, m := range s.Machines {
				m.Fail = func(string) error {
					if n--; n < 0 {
						return errDied
					}
					return nil
				}
			}
			_, err := rotate(s, c, func() error { return strangersAmong(s) })
			for _, m := range s.Machines {
				m.Fail = nil
			}
			if ended = err == nil; !ended && !errors.Is(err, errDied) {
				t.Fatalf("after %d effects: %v", after, err)
			}
			refused := slices.ContainsFunc(Preflight(c, look(s)), func(p Problem) bool { return strings.Contains(p.Text, "certs rotate --ca") })
			if rotating := Rotating(c, look(s)); refused != rotating {
				t.Fatalf("after %d effects: rotating %v, up refuses %v", after, rotating, refused)
			}
			if problems := CheckRotation(c, look(s), true, time.Now()); Rotating(c, look(s)) && len(problems) > 0 {
				t.Fatalf("after %d effects: %v", after, problems)
			}
			if said, err := rotate(s, c, func() error { return strangersAmong(s) }); err != nil {
				t.Fatalf("after %d effects: %v\n%s", after, err, said)
			}
			checkRotated(t, c, s, before)
		})
		if ended || t.Failed() {
			return
		}
	}
}

// TestAMasterWithTheAuthoritiesOfBefore was away while they were replaced: nothing is done
// by what it has, wherever it stands in the file, until somebody takes that away.
func TestAMasterWithTheAuthoritiesOfBefore(t *testing.T) {
	for _, away := range []string{"m1", "m3"} {
		synctest.Test(t, func(t *testing.T) {
			c := componentstest.Cluster("m1", "m2", "m3", "w1")
			s := site(c)
			must(t, c, s)
			old := look(s).Machines[away]
			old.Etcd.Leader = "" // the others refuse it
			if said, err := rotate(s, c, func() error { return strangersAmong(s) }); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			if problems := Preflight(c, look(s)); len(problems) > 0 {
				t.Fatal(problems)
			}
			found := look(s)
			found.Machines[away] = old
			for _, problems := range [][]Problem{Preflight(c, found), CheckRotation(c, found, true, time.Now())} {
				if len(problems) != 1 || problems[0].Machine != away || !strings.Contains(problems[0].Text, "by which the cluster works") {
					t.Errorf("%s: %v", away, problems)
				}
			}
			for name, f := range found.Machines {
				f.Etcd.Leader = ""
				found.Machines[name] = f
			}
			problems := Preflight(c, found)
			if len(problems) == 0 || slices.ContainsFunc(problems, func(p Problem) bool { return strings.Contains(p.Text, "delete "+components.PKI) }) {
				t.Errorf("%s: with no etcd that serves: %v", away, problems)
			}

			// What the sentence says to do is enough.
			for name := range old.Files {
				if strings.HasPrefix(name, components.PKI+"/") {
					s.Machines[away].Remove(name)
				}
			}
			must(t, c, s)
		})
	}
}

// atDrop carries a change of the authorities out until the old ones are retired.
func atDrop(t *testing.T, s *componentstest.Site, c components.Cluster, watch func(phase string)) {
	t.Helper()
	for begin := true; ; begin = false {
		p := RotateAuthorities(c, look(s), begin, time.Now()).Phases[0]
		watch(p.Name)
		if p.Name == "drop" {
			p.Stages = p.Stages[:1]
		}
		for machine, action := range (Plan{Phases: []Phase{p}}).all() {
			if err := action.Apply(t.Context(), s.Machines[machine], s); err != nil {
				t.Fatalf("%s: %s: %v", machine, action, err)
			}
		}
		if p.Name == "drop" {
			return
		}
	}
}

// TestWhatDoesNotBelongInAChangeOfAuthorities: a machine with nothing of ours, or another
// bundle, would be set up halfway, or upgraded with the old authorities to go back to.
func TestWhatDoesNotBelongInAChangeOfAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "m3", "w1")
		s := site(c)
		blank := look(s)
		must(t, c, s)
		check := func(phase string) {
			found := look(s)
			if !Rotating(c, found) {
				return
			}
			if problems := CheckRotation(c, found, true, time.Now()); len(problems) > 0 {
				t.Errorf("%s: %v", phase, problems)
			}
			for _, name := range []string{"m1", "m3", "w1"} {
				with := look(s)
				with.Machines[name] = blank.Machines[name]
				if problems := CheckRotation(c, with, true, time.Now()); len(problems) == 0 || problems[0].Machine != name {
					t.Errorf("%s: blank %s: %v", phase, name, problems)
				}
			}
			other := c
			other.Bundle.ID = c.Version + "-ffffffffffff"
			if problems := CheckRotation(other, found, true, time.Now()); len(problems) != len(c.Machines) || !strings.Contains(problems[0].Text, "another bundle") {
				t.Errorf("%s: another bundle: %v", phase, problems)
			}
		}
		atDrop(t, s, c, check)
		check("retired")
	})
}

// TestAWorkerBackAtTheEndOfAChange gets certificates before it is to call with them.
func TestAWorkerBackAtTheEndOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "w1", "w2")
		s := site(c)
		must(t, c, s)
		before := authoritiesOf(s)
		atDrop(t, s, without(c, "w2"), func(string) {})
		issued := false
		for machine, action := range RotateAuthorities(c, look(s), false, time.Now()).all() {
			switch action.(type) {
			case pki.Issue:
				issued = issued || machine == "w2"
			case actions.Units:
				if machine == "w2" && !issued {
					t.Errorf("%s, with certificates that nobody believes", action)
				}
			}
		}
		if said, err := rotate(s, c, func() error { return nil }); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		checkRotated(t, c, s, before)
	})
}
