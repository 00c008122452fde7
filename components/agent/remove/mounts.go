package remove

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unmountFor is how long one unmount may take: a server that is gone can hold a
// network file system's for ever.
const unmountFor = 5 * time.Second

// unmountBelow unmounts everything that is strictly below these folders. What
// is mounted on a folder itself is a disk that somebody gave it.
func (r *remover) unmountBelow(ctx context.Context, dirs []string) {
	busy := map[string]error{}
	for range 8 { // mounts stacked on one point show one after the other
		points, err := r.pointsBelow(dirs)
		if err != nil {
			r.residue("mounts", err)
			return
		}
		progress := false
		for _, point := range points {
			if ctx.Err() != nil {
				r.residue("mounts", ctx.Err())
				return
			}
			if busy[point] != nil {
				continue
			}
			if err := r.unmountOne(point); err != nil {
				busy[point] = err
				continue
			}
			progress = true
			r.removed("mount %s", r.display(point))
		}
		if !progress {
			break
		}
	}
	for point, err := range busy {
		r.residue("mount "+r.display(point), err)
	}
}

// pointsBelow returns the mount points below the folders, the last mounted first.
func (r *remover) pointsBelow(dirs []string) ([]string, error) {
	all, err := r.mounts()
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	return slices.DeleteFunc(all, func(point string) bool {
		return !slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(point, r.at(dir)+"/") })
	}), nil
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
func mountPoints() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			return nil, fmt.Errorf("mountinfo: %.80q", line)
		}
		points = append(points, unescape(fields[4]))
	}
	return points, nil
}

// unescape undoes mountinfo's octal escapes of space, tab, newline and backslash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
