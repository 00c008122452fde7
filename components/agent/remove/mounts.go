package remove

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"provision/components/removal"
)

// unmountFor is how long one unmount may take: a server that is gone can hold a
// network file system's for ever.
const unmountFor = 5 * time.Second

// mount is one line of mountinfo.
type mount struct {
	point  string
	device string // "8:1", of the file system
	kind   string // "ext4"
}

// unmountBelow unmounts everything that is strictly below these folders. What
// is mounted on a folder itself is a disk that somebody gave it.
func (r *remover) unmountBelow(ctx context.Context, dirs []string) {
	r.unmountAll(ctx, func(all []mount) []mount {
		return slices.DeleteFunc(all, func(m mount) bool { return !r.below(m, dirs) })
	}, func(point string) { r.removed("mount %s", point) })
}

// unmountStrangers unmounts what somebody else mounted below our folders, where
// its data outlive that: a folder bound to a second place, a disk. What lies in
// memory alone, and would be lost, stays; removeTree reports it. A folder of the
// list that is a mount point itself is a disk that somebody gave it.
func (r *remover) unmountStrangers(ctx context.Context, things []removal.Things) {
	var dirs, done []string
	for _, t := range things {
		dirs, done = append(dirs, t.Dirs...), append(done, t.Mounts...)
	}
	r.unmountAll(ctx, func(all []mount) []mount {
		strangers := slices.DeleteFunc(slices.Clone(all), func(m mount) bool {
			disk := slices.ContainsFunc(dirs, func(dir string) bool { return m.point == r.at(dir) })
			return disk || !r.below(m, dirs) || r.below(m, done)
		})
		return slices.DeleteFunc(strangers, func(m mount) bool {
			elsewhere := slices.ContainsFunc(all, func(other mount) bool { return other.device == m.device && !r.below(other, dirs) })
			return slices.Contains([]string{"tmpfs", "ramfs"}, m.kind) && !elsewhere && holdsFile(m.point)
		})
	}, func(point string) {
		r.kept("what was mounted on "+point, "it is not ours: it was unmounted, and is as it was wherever else it is")
	})
}

// holdsFile says whether there is anything but folders below one, or may be.
func holdsFile(dir string) bool {
	return filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			err = fs.ErrExist
		}
		return err
	}) != nil
}

// unmountAll unmounts what is chosen, the last mounted first, and tells of each point.
func (r *remover) unmountAll(ctx context.Context, choose func(all []mount) []mount, tell func(point string)) {
	busy := map[string]error{}
	for range 8 { // mounts stacked on one point show one after the other
		all, err := r.mounts()
		if err != nil {
			r.residue("mounts", err)
			return
		}
		slices.Reverse(all)
		progress := false
		for _, m := range choose(all) {
			if ctx.Err() != nil {
				r.residue("mounts", ctx.Err())
				return
			}
			if busy[m.point] != nil {
				continue
			}
			if err := r.unmountOne(m.point); err != nil {
				busy[m.point] = err
				continue
			}
			progress = true
			tell(r.display(m.point))
		}
		if !progress {
			break
		}
	}
	for point, err := range busy {
		r.residue("mount "+r.display(point), err)
	}
}

// below says that a mount's point is strictly below one of these folders.
func (r *remover) below(m mount, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(m.point, r.at(dir)+"/") })
}

// unmountOne unmounts, and where somebody is inside or the server does not
// answer, takes the mount out of the tree and leaves the rest to the kernel.
func (r *remover) unmountOne(point string) error {
	done := make(chan error, 1)
	go func() { done <- r.unmount(point, unix.UMOUNT_NOFOLLOW) }()
	select {
	case err := <-done:
		if err == nil {
			return nil
		}
	case <-time.After(unmountFor):
	}
	err := r.unmount(point, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // no longer a mount: the first try made it
		return nil
	}
	return err
}

// display is the path as a person on the machine knows it.
func (r *remover) display(path string) string {
	return "/" + strings.TrimPrefix(strings.TrimPrefix(path, strings.TrimSuffix(r.root, "/")), "/")
}

// mountPoints reads those of this process.
func mountPoints() ([]mount, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mount
	for line := range strings.Lines(string(text)) {
		// After the point are options, of which there may be more, and " - ".
		of, what, _ := strings.Cut(line, " - ")
		fields, kind := strings.Fields(of), strings.Fields(what)
		if len(fields) < 5 || len(kind) == 0 {
			return nil, fmt.Errorf("mountinfo: %.80q", line)
		}
		all = append(all, mount{point: unescape(fields[4]), device: fields[2], kind: kind[0]})
	}
	return all, nil
}

// unescape undoes mountinfo's octal escapes of space, tab, newline and backslash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
