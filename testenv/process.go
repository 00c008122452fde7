package testenv

import (
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

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

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

// findGroups returns every group with such a name in the trees: those that makeGroup
// made, and systemd's scopes.
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

// processes returns the processes in the group of that name.
func processes(name string) ([]int, error) {
	var pids []int
	err := withGroups(func(all []hierarchy) error {
		// A process is in every tree, so that one of them tells all.
		for _, group := range findGroups(all[:1], func(found string) bool { return found == name }) {
			pids = append(pids, members(group)...)
		}
		return nil
	})
	return pids, err
}

// killNamed ends everything in the groups with such a name at once, without
// asking, and removes them. It is done when they are gone.
func killNamed(named func(string) bool) error {
	return withGroups(func(all []hierarchy) error {
		groups := findGroups(all, named)
		deadline := time.Now().Add(10 * time.Second)
		for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
			for _, group := range groups {
				for _, pid := range members(group) {
					unix.Kill(pid, unix.SIGKILL)
				}
			}
			groups = slices.DeleteFunc(groups, removeGroup)
			if len(groups) == 0 {
				return nil
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("control group %s does not empty", groups[0])
			}
			time.Sleep(pause)
		}
	})
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

// start starts a process in a group of that name, apart from its caller: a session of its
// own and no terminal, so that it outlives whoever started it. It is started in
// the network namespace, where one is given.
func start(group string, ns netns.NsHandle, cmd *exec.Cmd) error {
	return withGroups(func(all []hierarchy) error {
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
		var err error
		if cmd.Path, err = exec.LookPath(cmd.Args[0]); err != nil {
			return err
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Dir = "/"
		if ns.IsOpen() {
			if err := netns.Set(ns); err != nil {
				return err
			}
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		go cmd.Wait() // else a long-lived caller keeps a zombie
		return nil
	})
}

func onSystemd() bool { return isDir("/run/systemd/system") }
