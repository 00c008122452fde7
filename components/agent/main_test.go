package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

func TestExitStatus(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lock")
	for _, test := range []struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		{"version", 0, "agent ", ""},
		{"--help", 0, "certificates", ""},
		{"", 64, "", "which command"},
		{"nonsense", 64, "", "unknown command"},
		{"lock", 64, "", "which command"},
		{"lock nonsense", 64, "", `unknown command "nonsense"`},
		{"lock show extra", 64, "", "extra"},
		{"lock show --nonsense", 64, "", "unknown flag"},
		{"lock acquire --dir " + dir, 64, "", "owner"},
		{"lock acquire --owner a --dir " + dir, 0, `"generation":1`, ""},
		{"lock acquire --owner b --dir " + dir, 75, `"owner":"a"`, "agent: lock acquire: held by a"},
		{"certificates sign --dir " + dir, 1, "", "agent: certificates sign: input: EOF"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(test.args), strings.NewReader(""), &stdout, &stderr)
		if code != test.code {
			t.Errorf("%q: exit status %d, want %d (%s)", test.args, code, test.code, &stderr)
		}
		if !strings.Contains(stdout.String(), test.stdout) || (test.stdout == "") != (stdout.Len() == 0) {
			t.Errorf("%q: stdout %q", test.args, &stdout)
		}
		if !strings.Contains(stderr.String(), test.stderr) || (test.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%q: stderr %q", test.args, &stderr)
		}
	}
}
