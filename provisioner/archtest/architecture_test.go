package archtest

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ARCHITECTURE.md names every package: in full, or shortened to its last two
// parts or its last one, as in a row that names its parent before.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range source(t) {
		if seen[f.dir] {
			continue
		}
		seen[f.dir] = true
		parent, name := path.Split(f.dir)
		names := []string{f.dir, path.Join(path.Base(parent), name), name}
		if !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(string(text), "`"+name+"`") }) {
			t.Errorf("ARCHITECTURE.md does not name %s: say there what it is for", f.dir)
		}
	}
}
