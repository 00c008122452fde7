package run

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"provision/provisioner/plan"
)

// TestAFailureInACarefulStageEndsTheRun: what one worker did not survive is not done to the next.
func TestAFailureInACarefulStageEndsTheRun(t *testing.T) {
	m1, w1, w2 := newBox("m1"), newBox("w1"), newBox("w2")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no") }}
	first := stage("kubelets of w1", job("w1", bad))
	first.Careful = true
	p := plan.Plan{Phases: []plan.Phase{{Name: "one", Stages: []plan.Stage{first, stage("kubelets of w2", job("w2", step{name: "never"}))}}}}
	env := site(m1, w1, w2)
	env.Replan = same(p)
	err := fmt.Sprint(Apply(t.Context(), p, env))
	if want := "w1: kubelets of w1: bad: no\nstopped after kubelets of w1: "; !strings.HasPrefix(err, want) || len(w2.log) > 0 {
		t.Errorf("error %q, want one that begins with %q; w2 did %q", err, want, w2.log)
	}
}

// TestAnEarlierFailureIsNoCarefulStages: a worker that was left out before is so again.
func TestAnEarlierFailureIsNoCarefulStages(t *testing.T) {
	m1, w1, w2 := newBox("m1"), newBox("w1"), newBox("w2")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no") }}
	turn := stage("kubelets of w1, w2", job("w1", step{name: "never"}), job("w2", step{name: "a"}))
	turn.Careful = true
	p := plan.Plan{Phases: []plan.Phase{{Name: "one", Stages: []plan.Stage{stage("base", job("w1", bad)), turn}}}}
	env := site(m1, w1, w2)
	env.Replan = same(p)
	err := fmt.Sprint(Apply(t.Context(), p, env))
	if got := strings.Join(w2.log, " "); err != "w1: base: bad: no" || got != "a" {
		t.Errorf("error %q; w2 did %q", err, got)
	}
}
