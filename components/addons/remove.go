package addons

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"provision/components"
)

// Remove deletes what an addon brought, and forgets it.
type Remove struct {
	Name    string // in the inventory
	What    string // for a person
	Objects []components.Object
}

// Component is "addons".
func (Remove) Component() string { return "addons" }

func (a Remove) String() string {
	if len(a.Objects) == 0 {
		return "forget " + a.What
	}
	return "take away " + a.What + ": delete " + list(a.Objects)
}

// Touches is empty: nothing of it is on the machine.
func (Remove) Touches() []components.Touch { return nil }

// Apply deletes.
func (a Remove) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	if err := deleteAll(ctx, api, a.Objects); err != nil {
		return err
	}
	return note(ctx, api, map[string]any{appliedPrefix + a.Name: nil, objectsPrefix + a.Name: nil})
}

// goneWithin bounds the wait for what was deleted to be gone: a namespace empties
// itself first, and its pods end in their own time.
const goneWithin = 90 * time.Second

// deleteAll deletes objects, the last first, and waits until they are gone: who
// applies them again meets none that is on its way out.
func deleteAll(ctx context.Context, api components.API, objects []components.Object) error {
	ctx, cancel := context.WithTimeout(ctx, goneWithin)
	defer cancel()
	paths := map[components.Object]string{}
	for _, o := range slices.Backward(objects) {
		path, err := api.Path(ctx, o)
		if err == nil {
			paths[o] = path
			_, err = api.Do(ctx, "DELETE", path+"?propagationPolicy=Background", "", nil)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete %s: %w", o, err)
		}
	}
	for o, path := range paths {
		for {
			_, err := api.Do(ctx, "GET", path, "", nil)
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("delete %s: %w", o, err)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("delete %s: it is on its way out, and still there after %s: something holds it (kubectl describe says what)", o, goneWithin)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

func sortedKeys(of map[string][]components.Object) []string { return slices.Sorted(maps.Keys(of)) }

// list names objects for a person, as many as one reads.
func list(objects []components.Object) string {
	const most = 8
	var names []string
	for _, o := range objects[:min(len(objects), most)] {
		names = append(names, o.String())
	}
	text := strings.Join(names, ", ")
	if more := len(objects) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// listed is a list as the inventory has it.
func listed(objects []components.Object) string {
	text, err := json.Marshal(objects)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(text)
}
