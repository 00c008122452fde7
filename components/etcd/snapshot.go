package etcd

import (
	"context"
	"time"

	"provision/components"
)

// SnapshotFolder is where a master keeps snapshots of its member: "etcd-<time>.db" on
// a schedule, "upgrade-<version>-<time>.db" of before upgrades from it.
const SnapshotFolder = components.State + "/snapshots"

// snapshotWithin bounds one: it is as large as the store.
const snapshotWithin = 10 * time.Minute

// Snapshot keeps a snapshot of a member that serves, before an upgrade.
type Snapshot struct {
	Node string // path of the bundle's node program
	Of   string // the version of Kubernetes that runs, which the name says
}

// Component is "etcd".
func (Snapshot) Component() string { return "etcd" }

func (Snapshot) String() string { return "keep a snapshot in " + SnapshotFolder }

// Touches is empty: it is in a folder of ours.
func (Snapshot) Touches() []components.Touch { return nil }

// Apply keeps it.
func (a Snapshot) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	_, err := on.Run(ctx, []string{a.Node, "etcd-snapshot", "--into", SnapshotFolder, "--of", a.Of}, nil)
	return err
}
