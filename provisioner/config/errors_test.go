package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
)

var update = flag.Bool("update", false, "rewrite what is said of testdata/errors/*.hcl")

// Each line of testdata/errors/*.hcl that is wrong says so: # ERROR: summary,
// or # WARNING: summary. What has no place in the file is said on its first
// line. Several on one line are separated by semicolons.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no files of mistakes", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".hcl"), func(t *testing.T) {
			t.Setenv("HOME", t.TempDir())
			t.Setenv("SSH_AUTH_SOCK", "")
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := map[int][]string{}
			for i, line := range strings.Split(string(src), "\n") {
				for _, marker := range []string{"ERROR", "WARNING"} {
					if _, summaries, found := strings.Cut(line, "# "+marker+": "); found {
						for summary := range strings.SplitSeq(summaries, "; ") {
							want[i+1] = append(want[i+1], marker+": "+summary)
						}
					}
				}
			}
			if len(want) == 0 {
				t.Fatal("the file has no marker")
			}
			_, diags := Load(name, nil)
			golden(t, strings.TrimSuffix(name, ".hcl")+".txt", diags)
			got := map[int][]string{}
			for _, d := range diags.Diagnostics {
				marker, line := "ERROR", 1
				if d.Severity == hcl.DiagWarning {
					marker = "WARNING"
				}
				if d.Subject != nil {
					line = d.Subject.Start.Line
				}
				got[line] = append(got[line], marker+": "+d.Summary)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-marked +reported:\n%s\n%v", diff, diags.Diagnostics)
			}
		})
	}
}

// golden pins every sentence: testdata/errors/NAME.txt holds what is said of
// NAME.hcl, in the order in which it is said.
func golden(t *testing.T, path string, diags Diagnostics) {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, m := range diags.List() {
		fmt.Fprintf(&got, "%d:%d: %s: %s\n    %s\n", m.Line, m.Column, m.Severity, m.Summary, strings.ReplaceAll(m.Detail, here, "."))
	}
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("-pinned +said:\n%s", diff)
	}
}

// Every summary is a few words, every detail a sentence that helps.
func TestHowMistakesAreSaid(t *testing.T) {
	files, _ := filepath.Glob("testdata/errors/*.hcl")
	for _, name := range files {
		_, diags := Load(name, nil)
		for _, d := range diags.Diagnostics {
			if strings.HasSuffix(d.Summary, ".") || len(strings.Fields(d.Summary)) > 6 {
				t.Errorf("%s: the summary %q is a sentence", name, d.Summary)
			}
			if len(strings.Fields(d.Detail)) < 3 {
				t.Errorf("%s: the detail %q is too short to help", name, d.Detail)
			}
		}
	}
}
