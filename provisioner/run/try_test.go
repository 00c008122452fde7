package run

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"provision/provisioner/plan"
)

// tried is a plan that sends something early to both machines and then changes
// them twice, and its run. What Try is asked is noted.
func tried(m1, w1 *box, early step, answer error) (p plan.Plan, env Env, asked *[][]string) {
	early.early = true
	p = phases("agent one two",
		stage("agent", job("m1", early), job("w1", early)),
		stage("x", job("m1", step{name: "a"}), job("w1", step{name: "a"})),
		stage("y", job("m1", step{name: "b"})))
	env = site(m1, w1)
	left := p
	env.Replan = func(context.Context, []string) (plan.Plan, error) {
		left.Phases = left.Phases[1:]
		return left, nil
	}
	asked = new([][]string)
	env.Try = func(_ context.Context, failed []string) error {
		*asked = append(*asked, failed)
		m1.log = append(m1.log, "try")
		if m1.lease != nil {
			return errors.New("the lock is held already")
		}
		return answer
	}
	return p, env, asked
}

func TestTryIsAskedOnceBetweenTheAgentsAndTheLock(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	p, env, asked := tried(m1, w1, step{name: "send"}, nil)
	if err := Apply(t.Context(), p, env); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(m1.log, " "); got != "send try a b" || len(*asked) != 1 || len((*asked)[0]) != 0 {
		t.Errorf("m1 did %q; asked without %v", got, *asked)
	}
}

func TestWhatTrySaysEndsTheRunUnchanged(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	p, env, _ := tried(m1, w1, step{name: "send"}, errors.New("w1: cannot reach m1"))
	err := Apply(t.Context(), p, env)
	if err == nil || err.Error() != "w1: cannot reach m1" {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(append(m1.log, w1.log...), " "); got != "send try send" {
		t.Errorf("they did %q", got)
	}
	if m1.files[lockDir+"/generation"] != "" {
		t.Error("the lock was taken")
	}
}

func TestTryIsToldWhoHasNoAgent(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	send := step{name: "send", apply: func(_ context.Context, on *box) error {
		if on.name == "w1" {
			return errors.New("no space")
		}
		return nil
	}}
	p, env, asked := tried(m1, w1, send, errors.New("m1: cannot reach m1"))
	err := Apply(t.Context(), p, env)
	if err == nil || err.Error() != "w1: agent: send: no space\nm1: cannot reach m1" {
		t.Errorf("error %v", err)
	}
	if len(*asked) != 1 || !slices.Equal((*asked)[0], []string{"w1"}) {
		t.Errorf("asked without %v", *asked)
	}
}

func TestTryIsNotAskedWhereOnlyAgentsAreSent(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	p, env, asked := tried(m1, w1, step{name: "send"}, nil)
	p.Phases = p.Phases[:1]
	if err := Apply(t.Context(), p, env); err != nil || len(*asked) > 0 {
		t.Errorf("asked without %v, error %v", *asked, err)
	}
}
