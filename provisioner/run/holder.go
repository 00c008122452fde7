package run

import (
	"context"
	"strconv"
	"time"

	"provision/components"
)

// Holder is who holds a master's lease.
type Holder struct {
	Machine    string
	Owner      string
	Reason     string
	Left       time.Duration // until it runs out, unless it is renewed
	generation uint64
}

// Holds asks a master who holds its lease; nil: nobody. agent is the path of an
// agent there.
func Holds(ctx context.Context, on components.Machine, agent string) (*Holder, error) {
	l := &Lock{env: Env{Agent: agent}}
	present, err := l.agent(ctx, on, "show")
	if err != nil || !present.Held {
		return nil, err
	}
	return &Holder{Machine: on.Name(), Owner: present.Owner, Reason: present.Reason, Left: present.left(), generation: present.Generation}, nil
}

// Break ends a holder's lease on its master, and nobody else's.
func (h *Holder) Break(ctx context.Context, on components.Machine, agent string) error {
	l := &Lock{env: Env{Agent: agent}}
	return l.giveBack(ctx, on, h.generation)
}

// Fence makes a machine refuse what the holder, should it still live, wants to
// change there.
func (h *Holder) Fence(ctx context.Context, on components.Machine, agent string) error {
	l := &Lock{env: Env{Agent: agent}}
	_, err := l.agent(ctx, on, "check", "--generation", strconv.FormatUint(h.generation+1, 10))
	return err
}
