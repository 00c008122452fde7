package run

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"provision/components"
)

// undo is an action that undoes what its job began.
type undo struct {
	components.Action
	says string
}

func (u undo) Rescue(_ context.Context, _ components.Machine, _ components.Site, failed error) error {
	return fmt.Errorf("%w; %s", failed, u.says)
}

func TestWhatAJobBeganIsUndone(t *testing.T) {
	failed := errors.New("it failed")
	rest := []components.Action{undo{says: "it went back"}, nil, undo{says: "it takes pods"}}
	err := Rescue(t.Context(), nil, nil, rest, failed)
	if !errors.Is(err, failed) || err.Error() != "it failed; it went back; it takes pods" {
		t.Error(err)
	}
}
