package etcd

import (
	"context"
	"time"

	"provision/components"
)

// RecoveredFile is on a master whose data were made a new cluster. Members of the
// old one that come back are known by it.
const RecoveredFile = components.State + "/stamps/etcd-recovered"

// recoverWithin bounds the work on a store: it is copied twice.
const recoverWithin = 15 * time.Minute

// Kept is the name of the folder, beside the data, that old data go into.
func Kept(now time.Time) string { return "kept-" + now.UTC().Format("20060102T150405Z") }

// Stop stops units of ours, and waits until they have.
type Stop struct {
	Units []string
}

// Component is "etcd".
func (Stop) Component() string { return "etcd" }

func (Stop) String() string { return "stop the API server and etcd" }

// Touches is empty: units of ours are taken away by their names.
func (Stop) Touches() []components.Touch { return nil }

// Apply stops them; systemd orders it by the units' own After.
func (a Stop) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, append([]string{"systemctl", "stop"}, a.Units...), nil)
	return err
}

// SetAside takes the data away from a member that does not run, so that it joins
// the others anew. They stay on the machine.
type SetAside struct {
	Node   string // path of the bundle's node program
	Folder string // as Kept names it
}

// Component is "etcd".
func (SetAside) Component() string { return "etcd" }

func (a SetAside) String() string {
	return "set the data aside in " + dataFolder + "/" + a.Folder + ", to join anew"
}

// Touches is empty: all of it is in a folder of ours.
func (SetAside) Touches() []components.Touch { return nil }

// Apply sets them aside.
func (a SetAside) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{a.Node, "etcd-recover", "aside", a.Folder}, nil)
	return err
}

// Recover makes a new cluster, of this member alone, of the data of one that
// lost its quorum for good. It either happens or does not: what is there is
// exchanged in one step, and the data as they were are kept.
type Recover struct {
	Node   string // path of the bundle's node program
	Folder string // as Kept names it
	Token  string // what no cluster was begun with before: the new one's id is made of it
	// Snapshot is the path of one that the cluster begins with, and not with what the
	// member holds; "": with that.
	Snapshot string
}

// Recovered is RecoveredFile's content after a Recover with that token.
func Recovered(token string) []byte { return []byte(token + "\n") }

// Component is "etcd".
func (Recover) Component() string { return "etcd" }

func (a Recover) String() string {
	if a.Snapshot != "" {
		return "begin a new cluster with " + a.Snapshot + ", alone; the data as they were stay in " + dataFolder + "/" + a.Folder
	}
	return "begin a new cluster with its data, alone; as they were they stay in " + dataFolder + "/" + a.Folder
}

// Touches is empty: all of it is in folders of ours.
func (Recover) Touches() []components.Touch { return nil }

// Apply recovers.
func (a Recover) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, recoverWithin)
	defer cancel()
	// Before, not after: a run that is killed in between must not leave a new
	// cluster that nobody can tell from the old one.
	if err := on.WriteFile(ctx, RecoveredFile, 0o600, Recovered(a.Token)); err != nil {
		return err
	}
	argv := []string{a.Node, "etcd-recover", "begin", a.Folder, "--token", a.Token}
	if a.Snapshot != "" {
		argv = append(argv, "--snapshot", a.Snapshot)
	}
	_, err := on.Run(ctx, argv, nil)
	return err
}
