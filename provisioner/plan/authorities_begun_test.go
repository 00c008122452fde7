package plan

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/pki"
)

// TestRotateKilledBeforeKubelet: a kubelet whose certificate was dropped, and which was not
// restarted, is restarted by the next run.
func TestRotateKilledBeforeKubelet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "w1")
		s := site(c)
		must(t, c, s)
		before := authoritiesOf(s)
		s.Machines["w1"].Fail = func(effect string) error {
			if strings.Contains(effect, "systemctl restart") && strings.Contains(effect, "kubelet") {
				return errDied
			}
			return nil
		}
		if said, err := rotate(s, c, func() error { return nil }); !errors.Is(err, errDied) {
			t.Fatalf("%v\n%s", err, said)
		}
		if _, there := s.Machines["w1"].Facts().Certificates[pki.KubeletServer]; there {
			t.Fatal("nothing was dropped")
		}
		s.Machines["w1"].Fail = nil
		said, err := rotate(s, c, func() error { return nil })
		if err != nil || !strings.Contains(said, "kubelets: w1: restart kubelet\n") {
			t.Errorf("%v\n%s", err, said)
		}
		checkRotated(t, c, s, before)
	})
}

func TestCheckRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "w1")
		s := site(c)
		must(t, c, s)
		changed := c
		changed.Machines = slices.Clone(c.Machines)
		changed.Machines[2].Labels = map[string]string{"disk": "ssd"}
		gone := look(s)
		delete(gone.Machines, "w1")
		for name, test := range map[string]struct {
			c           components.Cluster
			found       Facts
			authorities bool
			want        string
		}{
			"an edit":             {changed, look(s), true, "is not as the file says"},
			"an edit, keys alone": {changed, look(s), false, "is not as the file says"},
			"a silent worker":     {c, gone, true, "w1: does not answer, and would not know"},
		} {
			problems := CheckRotation(test.c, test.found, test.authorities, time.Now())
			if len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
				t.Errorf("%s: %v, want %q", name, problems, test.want)
			}
		}
		if problems := CheckRotation(c, gone, false, time.Now()); len(problems) > 0 {
			t.Errorf("keys alone, with a silent worker: %v", problems)
		}
	})
}

func TestRotateKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := componentstest.Cluster("m1", "m2", "w1", "w2")
		s := site(c)
		must(t, c, s)
		found := look(s)
		delete(found.Machines, "w2")
		p := RotateKeys(c, found, time.Now())
		if len(p.Phases) != 1 || len(p.Restarts()) > 0 {
			t.Fatalf("%+v", p)
		}
		var stages []string
		for _, stage := range p.Phases[0].Stages {
			stages = append(stages, stage.Name)
		}
		if want := []string{"keys of m1", "keys of m2", "keys of w1", "ready"}; !slices.Equal(stages, want) {
			t.Errorf("%v, want %v", stages, want)
		}
		for machine, action := range p.all() {
			if issue, is := action.(pki.Issue); is && (!issue.NewKeys || issue.Signer != "m1" || len(issue.Leaves) != len(pki.Leaves(c, *specOf(&c, machine)))) {
				t.Errorf("%s: %+v", machine, issue)
			}
		}
	})
}
