package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"provision/components"
	"provision/components/etcd"
)

// Snapshot is one that a master keeps.
type Snapshot struct{ Machine, Name string }

func (s Snapshot) path() string { return etcd.SnapshotFolder + "/" + s.Name }

// check comes before anything stops.
func (s Snapshot) check() Stage {
	return careful("snapshot", Job{s.Machine, []components.Action{etcd.CheckSnapshot{Path: s.path()}}})
}

// ChooseSnapshot is the one named, else the newest that was kept before an upgrade from
// the minor version of that one: one of a later version it could not read.
func ChooseSnapshot(kept []Snapshot, name, version string) (Snapshot, error) {
	kept = newestFirst(kept)
	for _, snapshot := range kept {
		of, _, _ := etcd.ParseSnapshot(snapshot.Name)
		if snapshot.Name == name || name == "" && of != "" && minor(of) == minor(version) {
			return snapshot, nil
		}
	}
	if name == "" {
		return Snapshot{}, errors.New("no master keeps a snapshot of before an upgrade from that version: there is no way back but a backup (`provision restore`)")
	}
	return Snapshot{}, fmt.Errorf("no master keeps a snapshot called %.60q; there are: %s", name, listed(kept))
}

func newestFirst(kept []Snapshot) []Snapshot {
	return slices.SortedStableFunc(slices.Values(kept), func(a, b Snapshot) int {
		_, left, _ := etcd.ParseSnapshot(a.Name)
		_, right, _ := etcd.ParseSnapshot(b.Name)
		return strings.Compare(right, left)
	})
}

func listed(kept []Snapshot) string {
	var names []string
	for _, snapshot := range kept {
		names = append(names, snapshot.Name+" on "+snapshot.Machine)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// writtenBy is the version of Kubernetes that wrote a snapshot. The name of one of before
// an upgrade says it; one of the schedule was written by what the next upgrade after it
// went from, or, without any, by what runs.
func writtenBy(s Snapshot, kept []Snapshot, runs string) string {
	of, taken, _ := etcd.ParseSnapshot(s.Name)
	if of != "" {
		return of
	}
	for _, later := range newestFirst(kept) {
		of, at, _ := etcd.ParseSnapshot(later.Name)
		if at < taken {
			break
		}
		runs = cmp.Or(of, runs)
	}
	return runs
}

// GoBack says what stands in the way of going back to a master's snapshot, be there a
// quorum or not; nil where it can be done. kept are the snapshots of all masters.
func (r Remains) GoBack(c components.Cluster, from Snapshot, kept []Snapshot) []Problem {
	f, answered := r.Facts.Machines[from.Machine]
	runs := versionOf(planeBundle(f))
	switch {
	case !answered:
		return []Problem{{from.Machine, "does not answer, and the snapshot is on its disk: name another master with --from, or power it on"}}
	case !hasBundle(c, f) || runs == "":
		return []Problem{{from.Machine, fmt.Sprintf("was set up with another bundle (%s) than this one (%s): use that one", strings.Join(f.Bundles, ", "), c.Bundle.ID)}}
	case !slices.Contains(kept, from):
		return []Problem{{from.Machine, fmt.Sprintf("keeps no snapshot called %.60q; there are: %s", from.Name, listed(newestFirst(kept)))}}
	}
	if by := writtenBy(from, kept, runs); minor(by) != minor(runs) {
		return []Problem{{from.Machine, fmt.Sprintf(
			"keeps %s of Kubernetes %s, and %s runs, which goes back to snapshots of its own minor version alone: name a later one, or go back with the version, by `provision upgrade --rollback --snapshot %s`", from.Name, by, runs, from.Name)}}
	}
	if name, neighbour := r.elsewhere(c); name != "" {
		return []Problem{{name, fmt.Sprintf("its neighbour %.40s, which this computer does not reach, serves with a quorum, and would go on beside the new cluster: let this computer reach it", neighbour)}}
	}
	return r.outvoted(c)
}

// outvoted finds masters that do not answer, and may have a quorum without those that do:
// they would go on beside a new cluster. Members with data that lost their quorum have
// been asked themselves: see elsewhere.
func (r Remains) outvoted(c components.Cluster) []Problem {
	var silent []string
	for _, m := range c.Masters() {
		if f, answered := r.Facts.Machines[m.Name]; !answered {
			silent = append(silent, m.Name)
		} else if _, asked := r.Stores[m.Name]; asked && f.Etcd.Leader == "" {
			return nil
		}
	}
	if len(silent)*2 < len(c.Masters()) {
		return nil
	}
	return []Problem{{strings.Join(silent, ", "), "do not answer, and may serve without those that do, beside the new cluster: let this computer reach them, or take those out of the file that are gone for good"}}
}
