// Package restore brings a cluster back from a backup, as actions: its secrets
// onto the first master, what etcd held into an empty store there, and in the end
// the inventory to the machines that there are now. Everything in between is what
// `up` does with a machine that has its data. The backup's file is
// provisioner/backup's.
package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/etcd"
)

// MarkFile is on the first master from before its first change to the end of the
// restore, and holds the backup's id: until then `up` would begin an empty cluster,
// or take machines for its own that are the old cluster's.
const MarkFile = components.State + "/stamps/restoring"

// Mark is that file's content.
func Mark(id string) []byte { return []byte(id + "\n") }

// Backup is what the actions take from a backup. Whoever carries them out gives it
// with the Site.
type Backup interface {
	// Authorities is what "agent certificates export-authorities" printed. Secret.
	Authorities() []byte
	// PresharedKey is the overlay's, or nothing. Secret.
	PresharedKey() []byte
	// Snapshot writes etcd's snapshot.
	Snapshot(ctx context.Context, to io.Writer) error
}

// Site is a site with a backup at hand.
type Site interface {
	components.Site
	Backup() Backup
}

// backupOf finds the backup, also where a run has put something around its site.
func backupOf(site components.Site) (Backup, error) {
	for {
		if s, ok := site.(Site); ok && s.Backup() != nil {
			return s.Backup(), nil
		}
		around, ok := site.(interface{ Unwrap() components.Site })
		if !ok {
			return nil, errors.New("no backup is at hand")
		}
		site = around.Unwrap()
	}
}

// Secrets brings the authorities, the service account key, the encryption key and
// the overlay's pre-shared key back.
type Secrets struct {
	Agent string // path of the agent's binary
	ID    string // the backup's
}

// Component is "restore".
func (Secrets) Component() string { return "restore" }

func (Secrets) String() string {
	return "bring back the authorities, the service account key and the encryption key"
}

// Touches is empty: all of it is in folders of ours.
func (Secrets) Touches() []components.Touch { return nil }

// Apply marks the machine, then brings them. What is there already and differs is
// never replaced.
func (a Secrets) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	backup, err := backupOf(site)
	if err != nil {
		return err
	}
	if err := on.WriteFile(ctx, MarkFile, 0o600, Mark(a.ID)); err != nil {
		return err
	}
	argv := []string{a.Agent, "certificates", "import-authorities", "--dir", components.PKI}
	if _, err := on.Run(ctx, argv, bytes.NewReader(backup.Authorities())); err != nil {
		return err
	}
	if key := backup.PresharedKey(); len(key) > 0 {
		return on.WriteFile(ctx, components.PresharedKey, 0o600, key)
	}
	return nil
}

// Data makes etcd's store of the backup's snapshot. Its cluster has this member
// alone, and revisions far above all that clients have seen.
type Data struct {
	Node  string // path of the bundle's node program
	Name  string // the member's and its machine's
	Peer  string // its URL
	Token string // what no cluster was begun with before: the new one's id is made of it
}

// within bounds the way of a large store over a slow line, and its unpacking.
const within = time.Hour

// Component is "restore".
func (Data) Component() string { return "restore" }

func (Data) String() string { return "bring back etcd's data, as a cluster of one member" }

// Touches is empty: all of it is in folders of ours.
func (Data) Touches() []components.Touch { return nil }

// Apply streams the snapshot to the machine. It either happens or does not.
func (a Data) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	backup, err := backupOf(site)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	// Before, not after, as in a recovery: members of the old cluster that come back
	// are known by it.
	if err := on.WriteFile(ctx, etcd.RecoveredFile, 0o600, etcd.Recovered(a.Token)); err != nil {
		return err
	}
	argv := []string{a.Node, "etcd-recover", "restore", "--name", a.Name, "--peer", a.Peer, "--token", a.Token}
	return actions.Feed(ctx, on, argv, func(ctx context.Context, to io.Writer) error {
		if err := backup.Snapshot(ctx, to); err != nil {
			return fmt.Errorf("the backup: %w", err)
		}
		return nil
	})
}

// Conclude takes out of the cluster what the backup remembers and the file does not
// name: the old machines' Nodes, and their places in the inventory. They may be alive
// and another cluster's by now, so nothing is asked of them.
type Conclude struct {
	Machines []string // that are to stay
}

// Component is "restore".
func (Conclude) Component() string { return "restore" }

func (a Conclude) String() string {
	return "forget every machine of the backup but " + strings.Join(a.Machines, ", ")
}

// Touches is empty: the mark is in a folder of ours.
func (Conclude) Touches() []components.Touch { return nil }

// Apply forgets them; the mark goes last.
func (a Conclude) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	nodes, err := addons.NodeNames(ctx, api)
	if err != nil {
		return err
	}
	for _, name := range nodes {
		if slices.Contains(a.Machines, name) {
			continue
		}
		if _, err := api.Do(ctx, "DELETE", "/api/v1/nodes/"+name, "", nil); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := addons.Keep(ctx, site, a.Machines); err != nil {
		return err
	}
	_, err = on.Run(ctx, []string{"rm", "-f", MarkFile}, nil)
	return err
}
