package run

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"provision/components"
)

// undo is an action that undoes what its job began.
type undo struct{ step }

func (u undo) Rescue(_ context.Context, _ components.Machine, _ components.Site, failed error) error {
	return fmt.Errorf("%w; %s", failed, u.name)
}

// TestWhatAJobBeganIsUndone: by those actions of it that know how, and that were still to come.
func TestWhatAJobBeganIsUndone(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no disk") }}
	p := phases("one", stage("upgrade", job("w1", undo{step{name: "too early"}}, bad, undo{step{name: "it went back"}}, step{name: "never"}, undo{step{name: "it takes pods"}})))
	env := site(m1, w1)
	env.Replan = same(p)
	err := Apply(t.Context(), p, env)
	if got, want := fmt.Sprint(err), "w1: upgrade: bad: no disk; it went back; it takes pods"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
