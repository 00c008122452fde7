package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// lab runs the command as its user meets it.
func lab(args ...string) (stdout string, err error) {
	command := newCommand()
	var out bytes.Buffer
	command.SetOut(&out)
	command.SetErr(io.Discard)
	command.SetArgs(args)
	err = command.Execute()
	return out.String(), err
}

func TestMisuseIsToldFromFailure(t *testing.T) {
	here := t.TempDir()
	for _, test := range []struct {
		args    string
		misused bool
		says    string
	}{
		{"", true, "missing"},
		{"raise", true, "unknown command"},
		{"up --workers many", true, "invalid argument"},
		{"up m1", true, "unknown command"},
		{"cut", true, "at least 1 arg"},
		{"start m1 m2", true, "accepts 1 arg"},
		{"ssh", true, "at least 1 arg"},
		{"exec", true, "at least 1 arg"},
		{"list --colour", true, "unknown flag"},
		{"list --dir " + here, false, "no lab in " + here + ": make one with `lab up"},
		{"kill w1 --dir " + here, false, "no lab in"},
		{"up --masters 0 --dir " + here, true, "at least one machine"},
		{"up --masters 99 --dir " + here, true, "at most"},
		{"up --driver vmware --dir " + here, true, "there are nspawn and qemu"},
		{"up --driver qemu --flavor docker --dir " + here, true, "boots the flavor kernel"},
		{"up --ip 5 --dir " + here, true, "there are 4, 6 and both"},
		{"up --ip 6 --driver qemu --dir " + here, true, "IPv4 alone"},
		{"start w1 --clock yesterday --dir " + here, true, "invalid argument"},
	} {
		_, err := lab(strings.Fields(test.args)...)
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("lab %s: %v, want %q", test.args, err, test.says)
		}
		if misused := !errors.As(err, new(failure)); misused != test.misused {
			t.Errorf("lab %s: misuse is %v (%v)", test.args, misused, err)
		}
	}
}

func TestDownWithoutALabIsDone(t *testing.T) {
	if out, err := lab("down", "--dir", t.TempDir()); err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
}

// A help that teaches says when to use the command, or shows it used.
func TestEveryCommandHasAHelp(t *testing.T) {
	for _, command := range newCommand().Commands() {
		if command.Name() == "help" {
			continue
		}
		out, err := lab(command.Name(), "--help")
		if err != nil || !strings.Contains(out, "Usage:") || command.Short == "" {
			t.Errorf("lab %s --help: %v\n%s", command.Name(), err, out)
		}
	}
}
