package actions

import (
	"context"

	"provision/components"
)

// Remove deletes a file in a folder of ours that is not wanted any more.
type Remove struct {
	Of   string // component
	Path string
}

// Component is the component it belongs to.
func (a Remove) Component() string { return a.Of }

func (a Remove) String() string { return "delete " + a.Path }

// Touches is empty: the folder is ours.
func (Remove) Touches() []components.Touch { return nil }

// Apply deletes it.
func (a Remove) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{"rm", "-f", "--", a.Path}, nil)
	return err
}
