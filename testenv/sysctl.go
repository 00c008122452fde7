package testenv

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const procSys = "/proc/sys"

// unsaved are settings that change by themselves, do something when they are written, or
// belong to a namespace.
var unsaved = []string{
	"fs/binfmt_misc", "kernel/hostname", "kernel/domainname", "kernel/ns_last_pid", "kernel/random", "kernel/sched_domain",
	"vm/compact_memory", "vm/drop_caches", "vm/stat_refresh", "kernel/seccomp", "kernel/kexec_load_disabled", "kernel/modules_disabled",
}

// runtimeDir is what this boot of the host knows of its labs, whatever their store: a
// mark for each lab, and the settings as they were before the first.
const runtimeDir = "/run/provision-lab"

var sysctlFile = filepath.Join(runtimeDir, "sysctls.json")

func (l *Lab) mark() string { return filepath.Join(runtimeDir, "labs", l.ID) }

// lockHost keeps what concerns all labs of the host to one process at a time.
func lockHost() (unlock func(), err error) {
	return lock(filepath.Join(runtimeDir, "lock"), time.Minute)
}

// enter notes that the lab is there, and the host's settings that machines can change
// when it is the first.
func (l *Lab) enter() error {
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	if err := os.MkdirAll(filepath.Dir(l.mark()), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(l.mark(), nil, 0o600); err != nil {
		return err
	}
	if _, err := os.Stat(sysctlFile); err == nil {
		return nil
	}
	data, err := json.Marshal(readSysctls())
	if err != nil {
		return err
	}
	return writeFile(sysctlFile, 0o600, data)
}

// leave is enter's opposite: after the last lab the host's settings are as they were.
func (l *Lab) leave() error {
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	if err := os.Remove(l.mark()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if left, err := os.ReadDir(filepath.Dir(l.mark())); err != nil || len(left) > 0 {
		return nil
	}
	return restoreSysctls()
}

func readSysctls() map[string]string {
	values := map[string]string{}
	for _, top := range []string{"kernel", "vm", "fs"} {
		filepath.WalkDir(filepath.Join(procSys, top), func(path string, entry fs.DirEntry, err error) error {
			name, _ := filepath.Rel(procSys, path)
			if err != nil {
				return nil
			}
			if slices.Contains(unsaved, name) {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			info, err := entry.Info()
			if err != nil || entry.IsDir() || info.Mode()&0o200 == 0 || info.Mode()&0o400 == 0 {
				return nil
			}
			if data, err := os.ReadFile(path); err == nil && len(data) < 4096 {
				values[name] = strings.TrimSpace(string(data))
			}
			return nil
		})
	}
	return values
}

// restoreSysctls puts back what differs, and forgets.
func restoreSysctls() error {
	data, err := os.ReadFile(sysctlFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var saved map[string]string
	if err := json.Unmarshal(data, &saved); err != nil {
		return err
	}
	now := readSysctls()
	// Some pairs shadow each other (dirty_bytes and dirty_ratio) and reading one as
	// 0 means that the other rules, so zeroes go first.
	for _, zeroes := range []bool{true, false} {
		for name, value := range saved {
			if current, there := now[name]; there && current != value && (value == "0") == zeroes {
				os.WriteFile(filepath.Join(procSys, name), []byte(value), 0)
			}
		}
	}
	return os.Remove(sysctlFile)
}

// roomForWatches raises the limits on inotify, which count for all machines'
// root together: each kubelet, containerd and systemd takes its share.
func roomForWatches() error {
	for name, least := range map[string]int{"max_user_instances": 8192, "max_user_watches": 524288} {
		path := filepath.Join(procSys, "fs/inotify", name)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && now < least {
			if err := os.WriteFile(path, []byte(strconv.Itoa(least)), 0); err != nil {
				return err
			}
		}
	}
	return nil
}
