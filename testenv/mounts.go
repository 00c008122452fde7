package testenv

import (
	"bufio"
	"os"
	"strings"
)

// mount is one line of /proc/PID/mountinfo.
type mount struct {
	device  string // major:minor
	root    string // what part of the file system
	point   string
	kind    string // "cgroup", "cgroup2", "ext4", ...
	source  string
	options []string // the file system's own
}

func parseMount(line string) (mount, bool) {
	left, right, ok := strings.Cut(line, " - ")
	before, after := strings.Fields(left), strings.Fields(right)
	if !ok || len(before) < 6 || len(after) < 3 {
		return mount{}, false
	}
	return mount{
		device:  before[2],
		root:    before[3],
		point:   before[4],
		kind:    after[0],
		source:  after[1],
		options: strings.Split(after[2], ","),
	}, true
}

// mounts reads a mount table of this thread's, which may differ from the process's.
func mounts() ([]mount, error) {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []mount
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if m, ok := parseMount(lines.Text()); ok {
			all = append(all, m)
		}
	}
	return all, lines.Err()
}
