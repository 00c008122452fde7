package remove

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// maxDepth is how many folders are open at a time. Pods can nest theirs deeper
// than a process may open: what is below that is first moved up.
const maxDepth = 128

// errMount is a folder that something is mounted on.
var errMount = errors.New("something is mounted on it: its content was not touched")

// tree deletes one folder with all below it, without ever leaving it: each step
// down is an openat2 that the kernel refuses across a mount, a bind mount too,
// or through a symbolic link, so that nobody who races it can lead it out.
type tree struct {
	ctx      context.Context
	top      int      // the folder itself
	path     string   // and its name, for messages
	keep     []string // mount points further down that stay, by their names
	kept     int      // how many were met
	moved    int
	problems []error
}

// removeTree deletes a folder of the list. One that is a mount point is emptied
// and stays, with a word about it, and so does what holds it.
func (r *remover) removeTree(ctx context.Context, path string) {
	parent, err := unix.Open(filepath.Dir(r.at(path)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if gone(err) {
		return
	}
	if err != nil {
		r.residue("folder "+path, err)
		return
	}
	defer unix.Close(parent)
	name := filepath.Base(path)
	fd, err := openFolder(parent, name, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		r.kept(path, "it is not a folder, so it is not ours")
		return
	case err != nil:
		r.residue("folder "+path, err)
		return
	}
	t := &tree{ctx: ctx, top: fd, path: path, keep: r.disks}
	t.clear()
	unix.Close(fd)
	for _, problem := range t.problems {
		r.residue("folder "+path, problem)
	}
	if len(t.problems)+t.kept > 0 {
		return
	}
	switch err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); {
	case err == nil || errors.Is(err, unix.ENOENT):
		r.removed("folder %s", path)
	case errors.Is(err, unix.EBUSY):
		r.kept("folder "+path, "it is a mount point; it was emptied")
		r.disks = append(r.disks, path)
	default:
		r.residue("folder "+path, err)
	}
}

// openFolder opens a folder below another.
func openFolder(parent int, name string, resolve uint64) (int, error) {
	return unix.Openat2(parent, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | resolve,
	})
}

// clear empties the tree: again, as long as folders were moved to its top.
func (t *tree) clear() {
	for {
		before := t.moved
		t.empty(t.top, t.path, 0)
		if t.moved == before {
			return
		}
	}
}

// empty deletes what a folder holds.
func (t *tree) empty(fd int, path string, depth int) {
	again, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.problem(path, err)
		return
	}
	dir := os.NewFile(uintptr(again), path)
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(1024)
		for _, name := range names {
			if t.ctx.Err() != nil {
				t.problem(path, t.ctx.Err())
				return
			}
			t.remove(fd, name, filepath.Join(path, name), depth)
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.problem(path, err)
			return
		}
	}
}

func (t *tree) remove(parent int, name, path string, depth int) {
	err := unix.Unlinkat(parent, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return
	}
	if !errors.Is(err, unix.EISDIR) {
		t.problem(path, err)
		return
	}
	// A moved folder is at the top: another round of clear comes to it.
	if depth == maxDepth {
		t.moved++
		if err := unix.Renameat(parent, name, t.top, fmt.Sprintf(".provision-removed-%d", t.moved)); err != nil {
			t.moved--
			t.problem(path, err)
		}
		return
	}
	fd, err := openFolder(parent, name, unix.RESOLVE_NO_XDEV)
	if errors.Is(err, unix.EXDEV) {
		if slices.Contains(t.keep, path) {
			t.kept++
			return
		}
		err = errMount
	}
	if err != nil {
		t.problem(path, err)
		return
	}
	before := len(t.problems) + t.kept
	t.empty(fd, path, depth+1)
	unix.Close(fd)
	if len(t.problems)+t.kept > before {
		return
	}
	if err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		t.problem(path, err)
	}
}

// maxProblems bounds the report; the first ones say enough.
const maxProblems = 20

func (t *tree) problem(path string, err error) {
	if len(t.problems) < maxProblems {
		t.problems = append(t.problems, fmt.Errorf("%s: %w", path, err))
	}
}
