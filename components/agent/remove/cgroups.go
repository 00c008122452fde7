package remove

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killFor is how long processes may take to die. One in an uninterruptible
// sleep does not die at all; it is reported.
const killFor = 10 * time.Second

const cgroupRoot = "/sys/fs/cgroup"

// groups returns the folders of control groups with these names at the root of
// each hierarchy: one hierarchy (v2), or one for each controller (v1).
func (r *remover) groups(names []string) []string {
	root := r.at(cgroupRoot)
	hierarchies := []string{root}
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		hierarchies, _ = filepath.Glob(filepath.Join(root, "*"))
	}
	var found []string
	for _, hierarchy := range hierarchies {
		for _, name := range names {
			// Lstat: v1 links "cpu" to "cpu,cpuacct", and once is enough.
			dir := filepath.Join(hierarchy, name)
			if info, err := os.Lstat(hierarchy); err != nil || !info.IsDir() {
				continue
			}
			if info, err := os.Lstat(dir); err == nil && info.IsDir() {
				found = append(found, dir)
			}
		}
	}
	return found
}

// killAll ends every process in the groups.
func (r *remover) killAll(ctx context.Context, names []string) {
	killed := map[int]bool{}
	for end := time.Now().Add(killFor); ; sleep(ctx, 50*time.Millisecond) {
		pids := r.killOnce(names)
		for _, pid := range pids {
			killed[pid] = true
		}
		if len(pids) == 0 {
			break
		}
		if time.Now().After(end) || ctx.Err() != nil {
			for _, pid := range pids {
				r.residue(fmt.Sprintf("process %d", pid), fmt.Errorf("it does not die"))
			}
			return
		}
	}
	if len(killed) > 0 {
		r.removed("%d processes in %s", len(killed), strings.Join(names, ", "))
	}
}

// killOnce sends SIGKILL to every process in the groups and returns them. A
// process of a frozen group dies when it is thawed.
func (r *remover) killOnce(names []string) []int {
	var pids []int
	for _, group := range r.groups(names) {
		for _, dir := range folders(group) {
			put(filepath.Join(dir, "freezer.state"), "THAWED") // v1; elsewhere there is no such file
			put(filepath.Join(dir, "cgroup.freeze"), "0")      // v2
			text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
			if err != nil {
				continue
			}
			for _, field := range strings.Fields(string(text)) {
				// 0 is a process of another namespace; 1 is systemd, whatever a file says.
				if pid, err := strconv.Atoi(field); err == nil && pid > 1 && pid != os.Getpid() && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
		}
	}
	return slices.DeleteFunc(pids, func(pid int) bool { return errors.Is(r.kill(pid), unix.ESRCH) })
}

// removeCgroups removes the groups, which are empty now, from the leaves up.
func (r *remover) removeCgroups(names []string) {
	done := map[string]bool{}
	for _, group := range r.groups(names) {
		dirs := folders(group)
		slices.Reverse(dirs)
		var err error
		for _, dir := range dirs {
			// The kernel may still be taking the last process apart.
			for range 20 {
				if err = unix.Rmdir(dir); !errors.Is(err, unix.EBUSY) {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
		}
		if err != nil && !gone(err) {
			r.residue("control group "+group, err)
		} else if name := filepath.Base(group); !done[name] {
			done[name] = true
			r.removed("control group %s", name)
		}
	}
}

// folders returns a folder and all below it, each before what it holds.
func folders(top string) []string {
	var dirs []string
	filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // a group that went away meanwhile is what we want
	})
	return dirs
}

// put writes to a file of the kernel's, which is there or not.
func put(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
