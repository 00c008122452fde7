package removal

import (
	"fmt"
	"strings"
)

// kinds are how a report's lines begin, and what a person counts them as, in the
// order of a summary. The first that fits counts.
var kinds = []struct{ begin, one, many string }{
	{"running unit ", "running unit", "running units"},
	{"unit ", "unit file", "unit files"},
	{"mount ", "mount", "mounts"},
	{"link ", "link", "links"},
	{"route ", "route", "routes"},
	{"address ", "address", "addresses"},
	{"table ", "nftables table", "nftables tables"},
	{"nftables table ", "nftables table", "nftables tables"},
	{"firewall rule ", "firewall rule", "firewall rules"},
	{"control group ", "control group", "control groups"},
	{"file ", "file", "files"},
	{"unfinished file ", "file", "files"},
	{"/", "file", "files"},
	{"folder ", "folder", "folders"},
}

// Ours begins the lines of what was put back rather than taken away.
const ours = "our "

// Taken counts what was removed, by kind: "11 running units, 3 mounts, 5 folders".
func (r Report) Taken() string {
	counts := map[string]int{}
	processes, other := 0, 0
lines:
	for _, line := range r.Removed {
		var n int
		if _, err := fmt.Sscanf(line, "%d processes in ", &n); err == nil {
			processes += n
			continue
		}
		if strings.HasPrefix(line, ours) {
			continue
		}
		for _, kind := range kinds {
			if strings.HasPrefix(line, kind.begin) {
				counts[kind.many]++
				continue lines
			}
		}
		other++
	}
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	for i, kind := range kinds {
		add(counts[kind.many], kind.one, kind.many)
		delete(counts, kind.many)
		if i == 0 {
			add(processes, "process", "processes")
		}
	}
	add(other, "other thing", "other things")
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// PutBack names what has its value from before us again: "sysctl vm.panic_on_oom".
func (r Report) PutBack() []string {
	var names []string
	for _, line := range r.Removed {
		if what, ok := strings.CutPrefix(line, ours); ok {
			for _, word := range []string{"value of ", "content of "} {
				what = strings.TrimPrefix(what, word)
			}
			names = append(names, what)
		}
	}
	return names
}
