// Package rotation gives machines new keys for the overlay, so that no
// connection between pods is lost: the others learn the next key before it
// takes over.
//
// The keys are made and kept by overlay/agent on the machine, and only public
// ones are seen here. These actions say when each step comes; which machines,
// and in which order, is provisioner/plan's to say.
package rotation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/overlay"
)

// How long each step waits for others to learn, and how often it looks.
const (
	patience = 30 * time.Second
	glance   = 300 * time.Millisecond
)

// Actions re-key one machine; others are those that can be asked whether they
// know. A run that was killed anywhere begins again with the first: what was
// prepared is taken up, and what was committed is followed by another key.
func Actions(agent string, others []string) []components.Action {
	return []components.Action{
		Prepare{Agent: agent},
		AwaitKnown{By: others},
		Commit{Agent: agent},
		AwaitUsed{By: others},
	}
}

// Prepare makes the machine's next key and waits until it is announced. A next
// key that is there already stays.
type Prepare struct {
	Agent string // path of the agent's binary
}

// Component is "overlay".
func (Prepare) Component() string { return "overlay" }

func (Prepare) String() string { return "make the next key and announce it" }

// Touches is empty: the key is in a folder that only we use.
func (Prepare) Touches() []components.Touch { return nil }

// Interruptible says that the next run takes up what was prepared.
func (Prepare) Interruptible() bool { return true }

// Apply runs "agent overlay rotate prepare".
func (a Prepare) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	next, err := step(ctx, on, a.Agent, "prepare")
	if err != nil {
		return err
	}
	return await(ctx, func() (string, error) {
		s, err := status(ctx, on)
		switch {
		case err != nil:
			return "", err
		case s.NextKey != next || !s.Announced:
			return "its Node does not announce the next key yet: is the API server away?", nil
		}
		return "", nil
	})
}

// AwaitKnown waits until other machines know the machine's next key.
type AwaitKnown struct {
	By []string // names of machines
}

// Component is "overlay".
func (AwaitKnown) Component() string { return "overlay" }

func (a AwaitKnown) String() string {
	if len(a.By) == 0 {
		return "wait for nobody to know it"
	}
	return "wait until " + strings.Join(a.By, ", ") + " " + verb(a.By, "know") + " it"
}

// Touches is empty: nothing is changed.
func (AwaitKnown) Touches() []components.Touch { return nil }

// Interruptible says that nothing is changed.
func (AwaitKnown) Interruptible() bool { return true }

// Apply asks the others until all know, or names those that do not.
func (a AwaitKnown) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	mine, err := status(ctx, on)
	if err != nil {
		return err
	}
	if mine.NextKey == (overlay.Key{}) {
		return errors.New("its next key is gone: does another rotation run?")
	}
	return awaitAll(ctx, on, site, a.By, "knows the next key", func(p overlay.PeerStatus) bool { return p.NextKey == mine.NextKey })
}

// Commit lets the next key take over.
type Commit struct {
	Agent string // path of the agent's binary
}

// Component is "overlay".
func (Commit) Component() string { return "overlay" }

func (Commit) String() string { return "let the next key take over" }

// Touches is empty: the key is in a folder that only we use.
func (Commit) Touches() []components.Touch { return nil }

// Apply runs "agent overlay rotate commit".
func (a Commit) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := step(ctx, on, a.Agent, "commit")
	return err
}

// AwaitUsed waits until other machines have spoken with the machine under the
// key that it has now.
type AwaitUsed struct {
	By []string // names of machines
}

// Component is "overlay".
func (AwaitUsed) Component() string { return "overlay" }

func (a AwaitUsed) String() string {
	if len(a.By) == 0 {
		return "wait until it is in use"
	}
	return "wait until " + strings.Join(a.By, ", ") + " " + verb(a.By, "use") + " it"
}

// Touches is empty: nothing is changed.
func (AwaitUsed) Touches() []components.Touch { return nil }

// Interruptible says that nothing is changed.
func (AwaitUsed) Interruptible() bool { return true }

// Apply waits for the machine's own agent to have taken the key up, then for
// the others. A handshake with a key that nobody had before the commit is newer
// than the commit, whatever the machines' clocks say.
func (a AwaitUsed) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	var key overlay.Key
	err := await(ctx, func() (string, error) {
		mine, err := status(ctx, on)
		switch {
		case err != nil:
			return "", err
		case mine.NextKey != (overlay.Key{}) || !mine.Announced:
			return "its Node does not announce the new key yet: is the API server away?", nil
		}
		key = mine.PublicKey
		return "", nil
	})
	if err != nil {
		return err
	}
	return awaitAll(ctx, on, site, a.By, "has spoken with it under the new key", func(p overlay.PeerStatus) bool {
		return p.Key == key && p.NextKey == (overlay.Key{}) && !p.Handshake.IsZero()
	})
}

func verb(names []string, word string) string {
	if len(names) == 1 {
		return word + "s"
	}
	return word
}

// step runs one of the agent's two verbs, which print the public key.
func step(ctx context.Context, on components.Machine, agent, verb string) (overlay.Key, error) {
	out, err := on.Run(ctx, []string{agent, "overlay", "rotate", verb}, nil)
	if err != nil {
		return overlay.Key{}, err
	}
	var key overlay.Key
	if err := key.UnmarshalText(out); err != nil {
		return key, fmt.Errorf("overlay rotate %s: answer: %w", verb, err)
	}
	return key, nil
}

// awaitAll waits for a sign of the machine in the statuses of others, and names
// those that do not give it.
func awaitAll(ctx context.Context, on components.Machine, site components.Site, by []string, what string, sign func(overlay.PeerStatus) bool) error {
	left := slices.Clone(by)
	return await(ctx, func() (string, error) {
		var why []string
		left = slices.DeleteFunc(left, func(name string) bool {
			text := name
			other, err := site.Machine(name)
			if err == nil {
				var s overlay.Status
				if s, err = status(ctx, other); err == nil {
					if slices.ContainsFunc(s.Peers, func(p overlay.PeerStatus) bool { return p.Name == on.Name() && sign(p) }) {
						return true
					}
				}
			}
			if err != nil {
				text += " (" + err.Error() + ")"
			}
			why = append(why, text)
			return false
		})
		if len(left) == 0 {
			return "", nil
		}
		return fmt.Sprintf("not every machine %s: %s", what, strings.Join(why, ", ")), nil
	})
}

// await looks until there is nothing missing, or patience ends; then what is
// missing is the error.
func await(ctx context.Context, look func() (missing string, err error)) error {
	deadline := time.Now().Add(patience)
	for {
		missing, err := look()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && missing == "" {
			return nil
		}
		if time.Now().After(deadline) {
			if err == nil {
				err = errors.New(missing)
			}
			return fmt.Errorf("after %v: %w", patience, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(glance):
		}
	}
}

// status is what a machine's agent last wrote.
func status(ctx context.Context, on components.Machine) (overlay.Status, error) {
	text, err := on.ReadFile(ctx, overlay.StatusFile)
	if errors.Is(err, fs.ErrNotExist) {
		return overlay.Status{}, errors.New("its overlay agent does not run")
	}
	if err != nil {
		return overlay.Status{}, err
	}
	return overlay.ParseStatus(text)
}
