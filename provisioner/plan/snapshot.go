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
