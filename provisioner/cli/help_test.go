package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestEveryCommandTeaches wants of each command a help of more than a line, with
// an example that can be copied, of that very command.
func TestEveryCommandTeaches(t *testing.T) {
	root := (&app{}).root()
	for _, command := range root.Commands() {
		example := "    provision " + command.Name()
		if command.Name() == "completion" {
			example = "provision " + command.Name()
		}
		if command.Long == "" || !strings.Contains(command.Long+"\n", example) {
			t.Errorf("%s: no example in its help:\n%s", command.Name(), command.Long)
		}
		if command.Short == "" || strings.HasSuffix(command.Short, ".") {
			t.Errorf("%s: in short %q", command.Name(), command.Short)
		}
		for line := range strings.Lines(command.Long) {
			if len(line) > 100 {
				t.Errorf("%s: a line of %d characters: %s", command.Name(), len(line), line)
			}
		}
	}
}

func TestEveryCommandThatReadsAFileTakesVariables(t *testing.T) {
	for _, command := range (&app{}).root().Commands() {
		if !strings.Contains(command.Use, " FILE") {
			continue
		}
		for _, flag := range []string{"var", "var-file"} {
			if command.Flags().Lookup(flag) == nil {
				t.Errorf("%s has no --%s", command.Name(), flag)
			}
		}
	}
}

func TestValuesOfTheCommandLineWin(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cluster := write("cluster.hcl", "variable \"name\" {}\ncluster \"c\" {}\nmachine \"m1\" {\n  name = var.name\n  address = \"192.0.2.1\"\n}\n")
	one, two := write("one.vars", "name = \"one\"\n"), write("two.vars", "name = \"two_\"\n")
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"":                  {exitFailed, "Missing variable value"},
		"--var-file " + one: {exitDone, "is valid"},
		"--var-file " + one + " --var-file " + two: {exitFailed, "two_"},
		"--var-file " + two + " --var name=x":      {exitDone, "is valid"},
		"--var-file " + dir + "/none":              {exitFailed, "Unreadable variable file"},
		"--var name":                               {exitMisuse, "wants name=value"},
		"--var nam=x --var name=y":                 {exitFailed, "no such variable"},
	} {
		var out bytes.Buffer
		code := Main(t.Context(), append([]string{"validate", cluster}, strings.Fields(args)...), strings.NewReader(""), &out, &out)
		if code != want.code || !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want.says) {
			t.Errorf("validate %s: exit status %d: %s", args, code, &out)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		var out bytes.Buffer
		if code := Main(t.Context(), []string{"completion", shell}, strings.NewReader(""), &out, io.Discard); code != 0 || !strings.Contains(out.String(), "provision") {
			t.Errorf("%s: exit status %d, %d bytes", shell, code, out.Len())
		}
	}
	if code := Main(t.Context(), []string{"completion", "tcsh"}, strings.NewReader(""), io.Discard, io.Discard); code != exitMisuse {
		t.Errorf("tcsh: exit status %d", code)
	}
	const example = "../../examples/bare-metal.hcl"
	for line, want := range map[string]string{
		"ssh " + example + " ":            "master",
		"logs " + example + " ":           "worker",
		"logs FILE ":                      ":4", // no such file: nothing to say
		"up ":                             "hcl",
		"status " + example + " ":         ":4",
		"kubeconfig " + example + " --me": "--merge",
	} {
		var out bytes.Buffer
		args := append([]string{cobra.ShellCompRequestCmd}, strings.Split(line, " ")...)
		if Main(t.Context(), args, strings.NewReader(""), &out, io.Discard); !strings.Contains(out.String(), want) {
			t.Errorf("%q completes to %q, not %q", line, &out, want)
		}
	}
}
