package plan

import (
	"slices"

	"provision/components"
	"provision/components/actions"
)

// bundlesPhase is the end of a run.
const bundlesPhase = "bundles"

// earlier is the bundle that an upgrade to a version may have come from: of those before
// it the newest version's, and of that version's the youngest; "" where there is none.
func earlier(version string, bundles []string) string {
	best := ""
	for _, id := range bundles {
		if v := versionOf(id); newer(version, v) && !newer(versionOf(best), v) {
			best = id
		}
	}
	return best
}

// prune removes bundles of before. Those that stay are the one that is wanted, the youngest
// other, and what `upgrade --rollback` goes back to. It goes by names and their order
// alone, so that it is the same before and after what the run does until then.
func prune(w world, _ components.MachineSpec, f components.Facts) []components.Action {
	others := slices.DeleteFunc(slices.Clone(f.Bundles), func(id string) bool { return id == w.Bundle.ID })
	if len(others) == 0 {
		return nil
	}
	youngest, back := others[len(others)-1], earlier(w.Version, others)
	old := slices.DeleteFunc(others, func(id string) bool { return id == youngest || id == back })
	if len(old) == 0 {
		return nil
	}
	return []components.Action{actions.Prune{IDs: old}}
}
