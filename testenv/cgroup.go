package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

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

// withGroups runs f where /sys/fs/cgroup shows the host's control groups. `ip
// netns exec` hides them behind a fresh /sys; there f runs on a thread of its own
// that mounts them for itself, and processes that f starts see the same.
func withGroups(f func([]hierarchy) error) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if len(all) > 0 {
		return f(all)
	}
	return onThread(func() error {
		if err := mountGroups(); err != nil {
			return fmt.Errorf("mount control groups: %w", err)
		}
		all, err := hierarchies()
		if err != nil {
			return err
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

// makeGroup makes a group of that name below the current one, in every tree. It
// returns the files that a process's number is written to.
func makeGroup(all []hierarchy, name string) ([]string, error) {
	var doors []string
	for _, h := range all {
		dir := filepath.Join(h.current, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if h.cpuset { // empty when born, and then nothing may enter
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				data, err := os.ReadFile(filepath.Join(h.current, file))
				if err != nil {
					return nil, err
				}
				if err := os.WriteFile(filepath.Join(dir, file), data, 0); err != nil {
					return nil, err
				}
			}
		}
		doors = append(doors, filepath.Join(dir, "cgroup.procs"))
	}
	return doors, nil
}

// findGroups returns every group whose name satisfies the function, in every
// tree: those that makeGroup made, and systemd's scopes of the same name.
func findGroups(all []hierarchy, named func(string) bool) []string {
	var found []string
	for _, h := range all {
		filepath.WalkDir(h.point, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case err != nil || !entry.IsDir():
				return nil // groups come and go while they are listed
			case named(strings.TrimSuffix(entry.Name(), ".scope")):
				found = append(found, path)
				return fs.SkipDir
			}
			return nil
		})
	}
	return found
}

// members returns the processes in a group and in those below it.
func members(group string) []int {
	var pids []int
	filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil
		}
		data, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids
}

// killGroups ends everything in the groups at once, without asking, and
// removes them. It is done when they are gone.
func killGroups(groups []string) error {
	deadline := time.Now().Add(10 * time.Second)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		for _, group := range groups {
			for _, pid := range members(group) {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		groups = slices.DeleteFunc(slices.Clone(groups), removeGroup)
		if len(groups) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("control group %s does not empty", groups[0])
		}
		time.Sleep(pause)
	}
}

// removeGroup removes an empty group and those below it, and says whether it did.
func removeGroup(group string) bool {
	var dirs []string
	filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	slices.Reverse(dirs)
	for _, dir := range dirs {
		unix.Rmdir(dir)
	}
	_, err := os.Stat(group)
	return errors.Is(err, fs.ErrNotExist)
}

// start starts a process in a group of that name, apart from its caller: a
// session of its own and no terminal, so that it outlives whoever started it.
func start(all []hierarchy, group string, cmd *exec.Cmd) error {
	if onSystemd() {
		// A host run by systemd owns its control groups: it is asked for one. Written
		// from systemd's documentation and not tried on such a host.
		scope := []string{"systemd-run", "--scope", "--quiet", "--collect", "--unit=" + group, "-p", "Delegate=yes", "--"}
		cmd.Args = append(scope, cmd.Args...)
	} else {
		doors, err := makeGroup(all, group)
		if err != nil {
			return err
		}
		script := `while [ "$1" != -- ]; do echo $$ >"$1" || exit 1; shift; done; shift; exec "$@"`
		cmd.Args = slices.Concat([]string{"sh", "-c", script, "sh"}, doors, []string{"--"}, cmd.Args)
	}
	path, err := exec.LookPath(cmd.Args[0])
	if err != nil {
		return err
	}
	cmd.Path = path
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Dir = "/"
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() // else a long-lived caller keeps a zombie
	return nil
}

func onSystemd() bool { return isDir("/run/systemd/system") }
