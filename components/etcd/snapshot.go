package etcd

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"regexp"
	"strings"
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

// snapshotForm is what snapshots are called; see SnapshotFolder.
var snapshotForm = regexp.MustCompile(`^(?:etcd|upgrade-([0-9]+\.[0-9]+\.[0-9a-z.-]+))-([0-9]{8}T[0-9]{6}Z)\.db$`)

// ParseSnapshot reads a snapshot's name: which version of Kubernetes it was kept before an
// upgrade from, "" where it was kept on schedule, and when, in a form that sorts.
func ParseSnapshot(name string) (of, taken string, ok bool) {
	found := snapshotForm.FindStringSubmatch(name)
	if found == nil {
		return "", "", false
	}
	return found[1], found[2], true
}

// CheckSnapshot sees that a snapshot is whole, before anything stops for it: its last 32
// bytes are the SHA-256 of the rest. The machine's own programs say so, since the bundle
// that is gone back to may be too old to be asked.
type CheckSnapshot struct {
	Path string
}

//go:embed sum.sh
var sum string

// Component is "etcd".
func (CheckSnapshot) Component() string { return "etcd" }

func (a CheckSnapshot) String() string { return "see that " + a.Path + " is whole" }

// Touches is empty: it changes nothing.
func (CheckSnapshot) Touches() []components.Touch { return nil }

// Apply checks it.
func (a CheckSnapshot) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	out, err := on.Run(ctx, []string{"sh", "-c", sum, "sh", a.Path}, nil)
	if err != nil {
		return err
	}
	if is, says, _ := strings.Cut(strings.TrimSpace(string(out)), "\n"); len(says) != 2*sha256.Size || is != says {
		return fmt.Errorf("%s is damaged or cut short, its sum is not the one that it ends with; nothing was stopped: name another with --snapshot", a.Path)
	}
	return nil
}
