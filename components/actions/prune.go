package actions

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strings"

	"provision/components"
)

// Prune removes bundles of before, but for those that something on the machine still
// needs, and agents that are of no bundle which is left.
//
// What needs them is looked at when it is done: a pod may end, or begin, after the plan
// was made.
type Prune struct {
	IDs []string // of the bundles
}

//go:embed prune.sh
var prune string

// bundleForm is what a bundle's id looks like.
var bundleForm = regexp.MustCompile(`^[0-9][0-9a-z.-]{0,40}-[0-9a-f]{12}$`)

// Component is "bundle".
func (Prune) Component() string { return "bundle" }

func (a Prune) String() string {
	return "remove old bundle " + strings.Join(a.IDs, ", ") + ", unless pods that began with it still run"
}

// Touches is empty: the folders are ours.
func (Prune) Touches() []components.Touch { return nil }

// Apply removes them.
func (a Prune) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	argv := []string{"sh", "-c", prune, "sh", components.Root, components.Units, components.Run + "/containerd"}
	for _, id := range a.IDs {
		if !bundleForm.MatchString(id) {
			return fmt.Errorf("%.60q is no bundle's id", id)
		}
		argv = append(argv, id)
	}
	_, err := on.Run(ctx, argv, nil)
	return err
}
