// Package bundle finds, opens, checks and sends bundles: the files that carry
// every binary and image of a cluster. Their format is components/bundle's; what
// a machine does with one is the agent's affair.
package bundle

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var fileForm = regexp.MustCompile(`^bundle-([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9a-z.]+)?)-linux-([a-z0-9]+)\.tar\.zst$`)

// NotFoundError says that there is no bundle, where was looked, and what would
// help.
type NotFoundError struct {
	Version string   // that was wanted; "" means any
	Dirs    []string // where was looked
	Others  []string // versions that are there instead
}

func (e *NotFoundError) Error() string {
	wanted, build := "no bundle", "make bundle"
	if e.Version != "" {
		wanted = "no bundle of Kubernetes " + e.Version
		build = "make bundle KUBERNETES=" + e.Version
	}
	text := fmt.Sprintf("%s in %s", wanted, strings.Join(e.Dirs, ", "))
	if len(e.Others) > 0 {
		text += fmt.Sprintf(" (there: %s)", strings.Join(e.Others, ", "))
	}
	return text + fmt.Sprintf(": build one with `%s`, or name its folder with --bundles or PROVISION_BUNDLES", build)
}

// Find returns the path of the bundle of that version, or of the newest one
// where version is "". The folders are looked through in order and the first
// that has one decides; of bundles for several architectures it prefers amd64.
// Where there is none the error is a *NotFoundError.
func Find(dirs []string, version string) (string, error) {
	missing := &NotFoundError{Version: version}
	looked := map[string]bool{}
	for _, dir := range dirs {
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		if looked[dir] {
			continue
		}
		looked[dir] = true
		missing.Dirs = append(missing.Dirs, dir)
		best, others := newest(dir, version)
		if best != "" {
			return filepath.Join(dir, best), nil
		}
		missing.Others = append(missing.Others, others...)
	}
	return "", missing
}

// newest returns the file name of the best bundle in a folder, "" where there
// is none, and the versions that were not wanted. A folder that cannot be read
// has none.
func newest(dir, version string) (best string, others []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil
	}
	var bestVersion, bestArch string
	for _, entry := range entries {
		match := fileForm.FindStringSubmatch(entry.Name())
		if match == nil || entry.IsDir() {
			continue
		}
		if version != "" && match[1] != version {
			others = append(others, match[1])
			continue
		}
		order := compareVersions(match[1], bestVersion)
		if order > 0 || order == 0 && bestArch != "amd64" {
			best, bestVersion, bestArch = entry.Name(), match[1], match[2]
		}
	}
	return best, others
}

// compareVersions orders versions as semantic versioning does for those that
// Kubernetes has: 1.9.0 < 1.36.0-rc.1 < 1.36.0. "" is before all.
func compareVersions(a, b string) int {
	a, aPre, _ := strings.Cut(a, "-")
	b, bPre, _ := strings.Cut(b, "-")
	if order := compareDotted(a, b); order != 0 {
		return order
	}
	switch {
	case aPre == bPre:
		return 0
	case aPre == "":
		return 1
	case bPre == "":
		return -1
	}
	return compareDotted(aPre, bPre)
}

// compareDotted compares part by part, numbers as numbers and before words.
func compareDotted(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		an, aErr := strconv.Atoi(as[i])
		bn, bErr := strconv.Atoi(bs[i])
		order := cmp.Compare(as[i], bs[i])
		switch {
		case aErr == nil && bErr == nil:
			order = cmp.Compare(an, bn)
		case aErr == nil && bs[i] != "":
			order = -1
		case bErr == nil && as[i] != "":
			order = 1
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}
