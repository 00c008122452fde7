package plan

import (
	"slices"

	"provision/components"
	"provision/components/actions"
)

// together makes one of the job's requests to start or restart units that
// nobody waits for, in the place of the last. systemd then orders them by their
// After: asked for one after the other, a restarting etcd would wait for the
// stop of an API server which cannot stop without it. A single request is named
// like a merged one, so that a later plan with fewer of them was announced.
func together(all []components.Action) []components.Action {
	last, count := -1, 0
	merged := actions.Units{Of: "units"}
	for i, action := range all {
		units, is := action.(actions.Units)
		if !is || units.Wait {
			continue
		}
		last, count = i, count+1
		merged.Enable = append(merged.Enable, units.Enable...)
		merged.Start = append(merged.Start, units.Start...)
		merged.Restart = append(merged.Restart, units.Restart...)
	}
	if count == 0 {
		return all
	}
	rest := func(of []components.Action) []components.Action {
		return slices.DeleteFunc(slices.Clone(of), func(action components.Action) bool {
			units, is := action.(actions.Units)
			return is && !units.Wait
		})
	}
	return slices.Concat(rest(all[:last]), []components.Action{merged}, rest(all[last:]))
}

// waitLast moves the wait for the API server behind what can be done meanwhile.
func waitLast(all []components.Action) []components.Action {
	waits := func(action components.Action) bool {
		_, is := action.(actions.WaitAPI)
		return is
	}
	work := slices.DeleteFunc(slices.Clone(all), waits)
	return append(work, slices.DeleteFunc(slices.Clone(all), func(a components.Action) bool { return !waits(a) })...)
}
