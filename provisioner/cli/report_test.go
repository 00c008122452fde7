package cli

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/provisioner/report"
	"provision/provisioner/verify"
)

// Reports are written whether what was verified is right or not, in one step and
// for everybody to read.
func TestReports(t *testing.T) {
	for _, test := range []struct {
		name    string
		err     error
		drill   verify.Drill
		has     string
		without string
	}{
		{"passed", nil, verify.Drill{Name: "worker power", Passed: true}, `failures="0"`, "<failure"},
		{"a drill failed", errors.New("w2: gave up"), verify.Drill{Name: "worker power", Reason: "w2: gave up"}, `<failure message="w2: gave up">`, "<error"},
		{"ended early", errors.New("no API server answers"), verify.Drill{Passed: true}, `<error message="no API server answers">`, "<failure"},
	} {
		dir := t.TempDir()
		r := reportFiles{junit: filepath.Join(dir, "a.xml"), html: filepath.Join(dir, "a.html")}
		if err := os.WriteFile(r.html, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &app{stdout: io.Discard, stderr: io.Discard}
		err := a.report(r, func(found *report.Report) error {
			found.Cluster, found.Drills = "demo", []verify.Drill{test.drill}
			return test.err
		})
		if !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.name, err)
		}
		junit, err := os.ReadFile(r.junit)
		if err != nil || !strings.Contains(string(junit), test.has) || strings.Contains(string(junit), test.without) {
			t.Errorf("%s: %v in\n%s", test.name, err, junit)
		}
		page, err := os.ReadFile(r.html)
		if err != nil || !strings.HasSuffix(string(page), "</html>\n") {
			t.Errorf("%s: %v in\n%s", test.name, err, page)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 2 {
			t.Errorf("%s: %v %v", test.name, entries, err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err != nil || info.Mode() != 0o644 {
				t.Errorf("%s: %s: %v %v", test.name, e.Name(), info.Mode(), err)
			}
		}
	}
}

// What could not be written is said before anything is looked at, or broken.
func TestReportsThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{filepath.Join(dir, "none", "a.xml"), dir} {
		a := &app{stdout: io.Discard, stderr: io.Discard}
		err := a.report(reportFiles{junit: name}, func(*report.Report) error { t.Error("it went on"); return nil })
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var out bytes.Buffer
	a := &app{stdout: io.Discard, stderr: &out}
	name := filepath.Join(dir, "later", "a.xml")
	if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	err := a.report(reportFiles{junit: name}, func(*report.Report) error { return os.Remove(filepath.Dir(name)) })
	if !errors.Is(err, status(exitFailed)) || !strings.Contains(out.String(), "no such file") {
		t.Errorf("%v: %s", err, &out)
	}
}
