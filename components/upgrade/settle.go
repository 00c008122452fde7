package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
)

// Settle waits until what a step restarted serves. Where it does not, the machine goes
// back to what it ran before, by itself, and the error says both.
//
// Which units must run is in PreviousFile, with all that a killed run has restarted.
type Settle struct {
	API bool // the machine's own API server must be ready
	// Node must be Ready with a kubelet of Version, which renews its Lease; "" where it
	// need not.
	Node, Version string
}

// Bounds of it.
const (
	serveWithin = 2 * time.Minute
	steadyFor   = 2 * time.Second        // nothing died for so long
	settlePause = 200 * time.Millisecond // between two looks
	mostDeaths  = 3                      // of a unit, while it is waited for
	// The first renewal that is seen may be one that was on its way when the process of
	// before was stopped.
	renewals = 2
)

// pulse counts how often a kubelet was seen to renew its Lease. What the Node says may be
// of before the restart, also where it says Ready.
type pulse struct {
	last  string
	beats int
}

// beat takes note of a Lease's time.
func (p *pulse) beat(renewed string) {
	if p.last != "" && p.last != renewed {
		p.beats++
	}
	p.last = renewed
}

var kubelet = actions.Service("kubelet")

// Component is "upgrade".
func (Settle) Component() string { return "upgrade" }

func (a Settle) String() string {
	return "see that it serves, or go back to what ran before"
}

// Touches is empty: what was written is kept in a file of ours.
func (Settle) Touches() []components.Touch { return nil }

// Apply waits, and decides.
func (a Settle) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	failed := a.serves(ctx, on, site)
	if failed == nil {
		_, err := on.Run(ctx, []string{"rm", "-f", "--", PreviousFile}, nil)
		return err
	}
	return a.Rescue(ctx, on, site, failed)
}

// Rescue goes back to what ran before, where that was kept. The error is failed, and
// what came of it.
func (a Settle) Rescue(ctx context.Context, on components.Machine, site components.Site, failed error) error {
	if ctx.Err() != nil {
		return failed // the next run decides
	}
	kept, err := back(ctx, on)
	if errors.Is(err, fs.ErrNotExist) {
		return failed // nothing had begun
	}
	if err != nil {
		return fmt.Errorf("%w; going back: %w", failed, err)
	}
	before := a
	before.Version = "" // whichever it is
	if err := before.serves(ctx, on, site); err != nil {
		return fmt.Errorf("%w; it went back to bundle %s, which does not serve either: %w", failed, kept.Bundle, err)
	}
	if _, err := on.Run(ctx, []string{"rm", "-f", "--", PreviousFile}, nil); err != nil {
		return err
	}
	return fmt.Errorf("%w; it went back to bundle %s by itself, and serves", failed, kept.Bundle)
}

// serves waits until everything has been well for steadyFor, and says why not.
func (a Settle) serves(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, serveWithin)
	defer cancel()
	kept, err := read(ctx, on)
	if err != nil {
		return err
	}
	if slices.Contains(kept.Units, kubelet) { // also where a killed run was in another step
		a.Node = on.Name()
	}
	var first, before map[string]unit
	var heard pulse
	var since time.Time
	var last error
	for {
		now, err := look(ctx, on, kept.Units)
		if err == nil && first == nil {
			first = now
		}
		if err == nil && !maps.Equal(now, before) { // other processes than those that were heard
			before, heard = now, pulse{}
		}
		if err == nil {
			for _, name := range kept.Units {
				if now[name].deaths-first[name].deaths >= mostDeaths {
					return fmt.Errorf("%s ends again and again; the last that it said: %s", name, cmp.Or(actions.LastWords(ctx, on, name), "nothing"))
				}
			}
			err = a.well(ctx, on, site, kept.Units, now, &heard)
		}
		switch {
		case err != nil:
			since = time.Time{}
			if ctx.Err() == nil || last == nil {
				last = err
			}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= steadyFor:
			return nil
		}
		select {
		case <-ctx.Done():
			if last == nil {
				last = context.Cause(ctx)
			}
			return fmt.Errorf("does not serve: %w", last)
		case <-time.After(settlePause):
		}
	}
}

// well says what is not.
func (a Settle) well(ctx context.Context, on components.Machine, site components.Site, units []string, now map[string]unit, heard *pulse) error {
	for _, name := range units {
		if now[name].active != "active" {
			return fmt.Errorf("%s is %s; the last that it said: %s", name, now[name].active, cmp.Or(actions.LastWords(ctx, on, name), "nothing"))
		}
	}
	if a.API {
		api, err := site.APIOf(ctx, on.Name())
		if err == nil {
			err = api.Ready(ctx)
		}
		if err != nil {
			return fmt.Errorf("the API server is not ready: %w", err)
		}
	}
	if a.Node != "" {
		return a.ready(ctx, site, heard)
	}
	return nil
}

func (a Settle) ready(ctx context.Context, site components.Site, heard *pulse) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	renewed, err := addons.Renewed(ctx, api, a.Node)
	if err != nil {
		return err
	}
	heard.beat(renewed)
	ready, version, err := addons.NodeState(ctx, api, a.Node)
	switch {
	case err != nil:
		return err
	case heard.beats < renewals:
		return fmt.Errorf("kubelet has not renewed the Lease of node %s since it was restarted", a.Node)
	case a.Version != "" && version != "v"+a.Version:
		return fmt.Errorf("node %s is of %.40q", a.Node, version)
	case !ready:
		return fmt.Errorf("node %s is not Ready", a.Node)
	}
	return nil
}

// unit is what systemd says of one.
type unit struct {
	active string
	deaths int // how often it was started again by itself
}

func look(ctx context.Context, on components.Machine, names []string) (map[string]unit, error) {
	out, err := on.Run(ctx, append([]string{"systemctl", "show", "--property=Id,ActiveState,NRestarts"}, names...), nil)
	if err != nil {
		return nil, err
	}
	units := map[string]unit{}
	for block := range strings.SplitSeq(string(out), "\n\n") {
		var id string
		var u unit
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "Id":
				id = value
			case "ActiveState":
				u.active = value
			case "NRestarts":
				u.deaths, _ = strconv.Atoi(value)
			}
		}
		units[id] = u
	}
	if len(units) < len(names) {
		return nil, errors.New("systemd does not say how the units are")
	}
	return units, nil
}
