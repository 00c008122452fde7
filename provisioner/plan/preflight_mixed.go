package plan

import (
	"fmt"

	"provision/components"
	"provision/components/actions"
)

// Mixed refuses to switch the overlay's pre-shared key in a run in which machines come
// to another bundle. Alone it is switched everywhere at once, since machines with and
// without it do not hear each other; with an upgrade each machine would do it when it
// has its turn. A machine that has both already shows that it was done, and that the
// others were off then: they are brought along.
func Mixed(c components.Cluster, found Facts) []Problem {
	w := world{Cluster: c, facts: found}
	var first *Problem
	changing := ""
	for _, m := range c.Machines {
		f := found.Machines[m.Name]
		if f.Units[actions.Service("overlay")].Active == "" {
			continue // it has no tunnels yet
		}
		id := kubeletBundle(f)
		if w.changes(planeBundle(f)) {
			id = planeBundle(f)
		}
		switch changes := w.changes(id); {
		case changes:
			changing = id
		case f.Preshared == c.Overlay.PSK:
			return nil
		}
		if f.Preshared != c.Overlay.PSK && first == nil {
			first = &Problem{Machine: m.Name}
		}
	}
	if first == nil || changing == "" {
		return nil
	}
	first.Text = fmt.Sprintf("its overlay is to have psk = %v, and the bundle %s is to become %s: machines with a pre-shared key and without it do not hear each other until the last one is upgraded; change one of the two, run `provision up`, and then change the other",
		c.Overlay.PSK, changing, c.Bundle.ID)
	return []Problem{*first}
}
