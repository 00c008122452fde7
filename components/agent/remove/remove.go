// Package remove takes everything of ours away from a machine: "agent remove".
//
// What may be ours is components/removal's list, what was there before us is the
// journal's. It works on a machine that was only half made, may be killed and
// repeated, and is bounded in time. It ends processes by their control group and
// never by name, deletes nothing across a mount or through a symbolic link, and
// undoes a setting only where it still is what we set. What it leaves it reports.
package remove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"provision/components/removal"
)

// effects are what removal does besides files.
type effects struct {
	self    string // this program's file, which the next attempt needs
	root    string // prefix of every path: "/"
	run     func(ctx context.Context, argv ...string) ([]byte, error)
	kill    func(pid int) error
	mounts  func() ([]mount, error) // in the order they were made
	unmount func(path string, flags int) error
	network network
}

// network is what removal does to the network.
type network interface {
	deletePorts() ([]string, error)   // links on our bridge
	deleteOverlay() ([]string, error) // our links and routes
	deleteTable(removal.Table) (bool, error)
	// deleteRules deletes a table's rules that name one of these containers, and
	// returns whose they were and how many name others.
	deleteRules(table removal.Table, containers []string) (deleted []string, others int, err error)
	deleteAddress(removal.Address) (bool, error)
}

// remover is one removal.
type remover struct {
	effects
	list   removal.List
	report removal.Report
	disks  []string // folders of ours that are mount points, and stay
}

// at returns where a path of the list is.
func (r *remover) at(path string) string { return filepath.Join(r.root, path) }

func (r *remover) removed(format string, args ...any) {
	r.report.Removed = append(r.report.Removed, fmt.Sprintf(format, args...))
}

func (r *remover) kept(what, why string) {
	r.report.Kept = append(r.report.Kept, removal.Kept{What: what, Why: why})
}

func (r *remover) residue(what string, err error) {
	if err != nil {
		r.report.Residue = append(r.report.Residue, removal.Kept{What: what, Why: err.Error()})
	}
}

// remove does all of it, in an order in which each step finds nobody who would
// undo it: what starts processes, processes, what they hold, files. The proof
// that we were here goes last, and only when nothing else is left, so that an
// attempt that could not finish can be repeated.
func (r *remover) remove(ctx context.Context) {
	things := []removal.Things{r.list.Own}
	if r.evident() {
		things = append(things, r.list.Shared)
	} else {
		r.keepShared()
	}
	// Read while it is there. Without a part that is broken the inventory decides.
	entries, err := readJournal(r.at(r.list.Journal))
	if err != nil {
		r.kept("what a broken part of the journal may name", err.Error())
	}

	lost := r.journalLost(entries)
	if lost && err == nil {
		r.keepSettings()
	}

	r.stopUnits(ctx, things)
	for _, t := range things {
		r.killAll(ctx, t.Cgroups)
	}
	for _, t := range things {
		r.unmountBelow(ctx, t.Mounts)
	}
	r.unmountStrangers(ctx, things)
	r.removeNetwork(things)
	for _, t := range things {
		r.removeCgroups(t.Cgroups)
	}
	// Before anything is put back: what had a value before us may need room for it,
	// and the disk may be full.
	proof := slices.Concat(r.list.Evidence, []string{r.list.Journal, r.self})
	var last []string
	for _, t := range things {
		for _, dir := range t.Dirs {
			if holdsAny(dir, proof) {
				last = append(last, dir)
				continue
			}
			r.removeTree(ctx, dir)
		}
	}
	r.undo(entries)
	r.removeUnfinished(things, entries)
	for _, t := range things {
		r.removeFiles(t.Files, entries)
		r.removeResults(t.Networks)
		for _, dir := range t.Empty {
			if unix.Rmdir(r.at(dir)) == nil {
				r.removed("folder %s", dir)
			}
		}
	}
	if lost {
		r.removeManagerFolder()
	}
	if len(r.report.Residue) > 0 {
		r.residue("unit files, "+strings.Join(last, ", "), errors.New("kept for the next attempt, because of the rest"))
		return
	}
	r.removeUnitFiles(ctx)
	for _, dir := range last {
		r.removeTree(ctx, dir)
	}
}

func holdsAny(dir string, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return strings.HasPrefix(path, dir+"/") })
}

// evident says whether upstream's own names on this machine are ours.
func (r *remover) evident() bool {
	return slices.ContainsFunc(r.list.Evidence, func(path string) bool {
		_, err := os.Lstat(r.at(path))
		return err == nil
	})
}

// keepShared reports what is there and may be another Kubernetes'.
func (r *remover) keepShared() {
	for _, dir := range r.list.Shared.Dirs {
		if _, err := os.Lstat(r.at(dir)); err == nil {
			r.kept("folder "+dir, "nothing shows that it is ours: there is no kubelet of ours on this machine")
		}
	}
}

func (r *remover) removeNetwork(things []removal.Things) {
	ports, err := r.network.deletePorts()
	r.residue("pods' links", err)
	taken, err := r.network.deleteOverlay()
	r.residue("overlay", err)
	r.report.Removed = append(r.report.Removed, append(ports, taken...)...)
	for _, t := range things {
		for _, table := range t.Tables {
			r.removeTable(table)
		}
		for _, address := range t.Addresses {
			what := "address " + address.Prefix + " on " + address.Link
			was, err := r.network.deleteAddress(address)
			r.residue(what, err)
			if was {
				r.removed("%s", what)
			}
		}
	}
}

// removeTable deletes a table. One that others may use as well loses the rules of
// our containers, and goes where it has none of anybody else's.
func (r *remover) removeTable(table removal.Table) {
	what := "table " + table.Family + " " + table.Name
	if entries, err := os.ReadDir(r.at(table.Unless)); table.Unless != "" && err == nil && len(entries) > 0 {
		deleted, others, err := r.network.deleteRules(table, r.containers())
		for _, container := range deleted {
			r.removed("firewall rule in %s for container %s", what, container)
		}
		r.residue(what, err)
		if others > 0 {
			r.kept(what, fmt.Sprintf("it has %d rules for containers that are not ours", others))
		}
		if err != nil || others > 0 {
			return
		}
	}
	was, err := r.network.deleteTable(table)
	r.residue(what, err)
	if was {
		r.removed("%s", what)
	}
}

// gone says that an error means there is nothing to remove.
func gone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}
