package plan

import (
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
)

func TestRotate(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2")
	all := Facts{Machines: map[string]components.Facts{"m1": {}, "w1": {}, "w2": {}}}
	without := Facts{Machines: map[string]components.Facts{"m1": {}, "w2": {}}}
	for _, test := range []struct {
		name  string
		found Facts
		names []string
		want  []string // machine: who is asked
	}{
		{"all", all, nil, []string{"m1: w1, w2 know", "w1: m1, w2 know", "w2: m1, w1 know"}},
		{"in the file's order", all, []string{"w2", "m1"}, []string{"m1: w1, w2 know", "w2: m1, w1 know"}},
		{"one is off", without, nil, []string{"m1: w2 knows", "w2: m1 knows"}},
		{"the one named is off", without, []string{"w1"}, nil},
	} {
		p := Rotate(c, test.found, test.names)
		if p.Empty() != (test.want == nil) {
			t.Errorf("%s: %+v", test.name, p)
			continue
		}
		if p.Empty() {
			continue
		}
		if len(p.Phases) != 1 || len(p.Phases[0].Stages) != len(test.want) {
			t.Errorf("%s: not one machine after the other: %+v", test.name, p)
			continue
		}
		for i, stage := range p.Phases[0].Stages {
			job := stage.Jobs[0]
			if got := job.Machine + ": " + strings.TrimPrefix(job.Actions[1].String(), "wait until "); len(stage.Jobs) != 1 || got != test.want[i]+" it" {
				t.Errorf("%s: %q, want %q", test.name, got, test.want[i]+" it")
			}
		}
	}
}
