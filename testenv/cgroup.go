package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// hierarchy is a mounted tree of control groups: one on a host with version 2
// only, one for each controller (and perhaps the version 2 tree) on others.
type hierarchy struct {
	point   string // where it is mounted
	current string // the group, below point, that this process is in
	version int
	cpuset  bool
}

// withGroups runs f, on a thread of its own, where /sys/fs/cgroup shows the host's
// control groups. `ip netns exec` hides them behind a fresh /sys; there the thread
// mounts them for itself, and processes that f starts see the same.
func withGroups(f func([]hierarchy) error) error {
	return onThread(func() error {
		all, err := hierarchies()
		if err != nil {
			return err
		}
		if len(all) == 0 {
			if err := mountGroups(); err != nil {
				return fmt.Errorf("mount control groups: %w", err)
			}
			if all, err = hierarchies(); err != nil {
				return err
			}
		}
		if len(all) == 0 {
			return errors.New("this host has no control groups")
		}
		return f(all)
	})
}

func hierarchies() ([]hierarchy, error) {
	table, err := mounts()
	if err != nil {
		return nil, err
	}
	current, err := currentGroups()
	if err != nil {
		return nil, err
	}
	var all []hierarchy
	for _, m := range table {
		var found *ownGroup
		for i, own := range current {
			if m.kind == "cgroup2" && own.version == 2 ||
				m.kind == "cgroup" && own.version == 1 && !slices.ContainsFunc(own.controllers, func(c string) bool { return !slices.Contains(m.options, c) }) {
				found = &current[i]
			}
		}
		if found == nil || !strings.HasPrefix(m.point, "/sys/fs/cgroup") ||
			slices.ContainsFunc(all, func(h hierarchy) bool { return h.point == m.point }) {
			continue
		}
		relative, err := filepath.Rel(m.root, found.path)
		if err != nil || strings.HasPrefix(relative, "..") {
			relative = "." // seen from inside a container
		}
		all = append(all, hierarchy{m.point, filepath.Join(m.point, relative), found.version, slices.Contains(found.controllers, "cpuset")})
	}
	return all, nil
}

// ownGroup is a line of /proc/self/cgroup.
type ownGroup struct {
	controllers []string // "name=systemd" for a tree without any
	path        string
	version     int
}

func currentGroups() ([]ownGroup, error) {
	file, err := os.Open("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []ownGroup
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[1] == "":
			all = append(all, ownGroup{nil, parts[2], 2})
		default:
			all = append(all, ownGroup{strings.Split(parts[1], ","), parts[2], 1})
		}
	}
	return all, lines.Err()
}

// mountGroups gives this thread a mount table of its own with every tree of
// control groups in its usual place.
func mountGroups() error {
	current, err := currentGroups()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return err
	}
	const top = "/sys/fs/cgroup"
	if len(current) == 1 && current[0].version == 2 {
		return unix.Mount("cgroup2", top, "cgroup2", 0, "")
	}
	if err := unix.Mount("tmpfs", top, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, own := range current {
		kind, options := "cgroup", strings.Join(own.controllers, ",")
		name := strings.TrimPrefix(options, "name=")
		if own.version == 2 {
			kind, options, name = "cgroup2", "", "unified"
		} else if name != options {
			options = "none," + options
		}
		dir := filepath.Join(top, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(kind, dir, kind, 0, options); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
