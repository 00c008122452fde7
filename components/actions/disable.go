package actions

import (
	"context"

	"provision/components"
)

// Disable stops units that a machine no longer needs, and has systemd not start
// them at boot.
type Disable struct {
	Of    string // component
	Units []string
}

// Component is the component it belongs to.
func (a Disable) Component() string { return a.Of }

func (a Disable) String() string { return "stop " + short(a.Units) }

// Touches is empty: units of ours were not there before us.
func (Disable) Touches() []components.Touch { return nil }

// Apply waits until they are down, which their own TimeoutStopSec bounds.
func (a Disable) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, append([]string{"systemctl", "disable", "--now", "--quiet"}, a.Units...), nil)
	return err
}
