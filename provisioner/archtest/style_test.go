package archtest

import (
	"path"
	"slices"
	"strings"
	"testing"
)

// Every package says what it is for, in one file of it.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	for _, f := range source(t) {
		if f.test || f.dir == "." {
			continue
		}
		said := comments[f.dir]
		if f.comment != "" {
			said = append(said, f.comment)
		}
		comments[f.dir] = said
	}
	for dir, said := range comments {
		switch {
		case len(said) == 0:
			t.Errorf("%s has no package comment", dir)
		case len(said) > 1:
			t.Errorf("%s has %d package comments", dir, len(said))
		case len(strings.Fields(said[0])) < 8:
			t.Errorf("%s says too little of itself: %q", dir, said[0])
		}
	}
}

const maxLines = 400

func TestNoFileOutgrowsItsReader(t *testing.T) {
	for _, f := range source(t) {
		if f.lines > maxLines {
			t.Errorf("%s has %d lines, more than %d", f.name, f.lines, maxLines)
		}
	}
}

// Names that say nothing of what is inside.
func TestPackageNamesSaySomething(t *testing.T) {
	for _, f := range source(t) {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "misc", "manager", "base_util"}, path.Base(f.dir)) {
			t.Errorf("%s: the package's name says nothing of what is inside", f.name)
		}
	}
}
