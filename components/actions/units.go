package actions

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"provision/components"
)

// Units makes systemd read unit files again and starts units.
type Units struct {
	Of      string   // component
	Enable  []string // to be started at boot
	Start   []string // not running
	Restart []string // running with what it read before
	// Wait until they say that they are ready; without it they are only asked to start,
	// and systemd restarts them until what they need is there.
	Wait bool
}

// Component is the component it belongs to.
func (a Units) Component() string { return a.Of }

func (a Units) String() string {
	var parts []string
	for _, part := range []struct {
		verb  string
		units []string
	}{{"start", a.Start}, {"restart", a.Restart}, {"enable", without(a.Enable, a.Start, a.Restart)}} {
		if len(part.units) > 0 {
			parts = append(parts, part.verb+" "+short(part.units))
		}
	}
	return strings.Join(parts, "; ")
}

// Restarts are the names, as people say them, of the units that it restarts.
func (a Units) Restarts() []string { return names(a.Restart) }

// without leaves out the units that another verb of the same line names.
func without(units []string, others ...[]string) []string {
	return slices.DeleteFunc(slices.Clone(units), func(unit string) bool {
		return slices.ContainsFunc(others, func(other []string) bool { return slices.Contains(other, unit) })
	})
}

func names(units []string) []string {
	names := make([]string, len(units))
	for i, unit := range units {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(unit, components.UnitName), ".service")
	}
	return names
}

func short(units []string) string { return strings.Join(names(units), ", ") }

// Touches is empty: units of ours were not there before us, and are taken away
// by their names.
func (a Units) Touches() []components.Touch { return nil }

// backwards has what depends on others first: systemd takes one unit of a command
// after the other, and would stop etcd before it hears that the API server, which
// then cannot end, is to stop as well.
func backwards(units []string) []string {
	units = slices.Clone(units)
	slices.Reverse(units)
	return units
}

// endPatience is more than any unit of ours is given to stop (TimeoutStopSec).
const endPatience = time.Minute

// ended waits until none of the units that were told to restart is the old process
// any more: an API server that is about to stop still says that it is ready.
func ended(ctx context.Context, on components.Machine, units []string) error {
	ctx, cancel := context.WithTimeout(ctx, endPatience)
	defer cancel()
	argv := append([]string{"systemctl", "show", "--property=Id,ActiveState,Job"}, units...)
	for {
		out, err := on.Run(ctx, argv, nil)
		if err != nil {
			return err
		}
		old := oldOf(string(out))
		if len(old) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not end within %s: %w", short(old), endPatience, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// oldOf are the units that "systemctl show" says to be running or ending, with a
// job that is to change that. A block of lines is a unit.
func oldOf(shown string) (old []string) {
	for block := range strings.SplitSeq(shown, "\n\n") {
		has := map[string]string{}
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			has[name] = value
		}
		job := has["Job"] != "" && has["Job"] != "0"
		if state := has["ActiveState"]; job && (state == "active" || state == "deactivating") {
			old = append(old, has["Id"])
		}
	}
	return old
}

// Apply enables, then starts, then restarts. systemd orders what it is asked to
// do meanwhile by the units' own After.
func (a Units) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	reload := []string{"systemctl", "daemon-reload"}
	if len(a.Enable) > 0 {
		reload = append([]string{"systemctl", "enable", "--quiet"}, a.Enable...) // reloads by itself
	}
	if _, err := on.Run(ctx, reload, nil); err != nil {
		return err
	}
	for _, step := range []struct {
		verb  string
		units []string
	}{{"start", a.Start}, {"restart", backwards(a.Restart)}} {
		if len(step.units) == 0 {
			continue
		}
		argv := []string{"systemctl", step.verb}
		if !a.Wait {
			argv = append(argv, "--no-block")
		}
		if _, err := on.Run(ctx, append(argv, step.units...), nil); err != nil {
			return why(ctx, on, step.units, err)
		}
	}
	if len(a.Restart) == 0 {
		return nil
	}
	if !a.Wait {
		if err := ended(ctx, on, a.Restart); err != nil {
			return err
		}
	}
	return steady(ctx, on, a.Restart)
}
