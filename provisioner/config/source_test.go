package config

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

const valid = "cluster \"c\" {}\nmachine \"m1\" { address = \"10.0.0.1\" }\n"

// What is no cluster file at all is said in one sentence, and none of it shown.
func TestFilesOfAnotherKind(t *testing.T) {
	wide := utf16.Encode([]rune("\ufeff" + valid))
	utf16le := make([]byte, 0, 2*len(wide))
	for _, unit := range wide {
		utf16le = append(utf16le, byte(unit), byte(unit>>8))
	}
	for _, c := range []struct {
		name, text, want string
	}{
		{"empty.hcl", "", "empty.hcl holds nothing: `provision init` prints a file to start from."},
		{"comment.hcl", "# nothing yet\n", "comment.hcl holds nothing"},
		{"cluster.yaml", "cluster:\n  name: home\n", "cluster.yaml is YAML, and a cluster file is HCL: `provision init` prints one"},
		{"kubeconfig", "# by hand\napiVersion: v1\nkind: Config\n", "kubeconfig is YAML"},
		{"documents", "---\n- a\n", "documents is YAML"},
		{"cluster.json", "{\"cluster\": {\"home\": {}}}\n", "cluster.json is JSON, and a cluster file is HCL"},
		{"list", "[1]", "list is JSON"},
		{"wide.hcl", string(utf16le), "wide.hcl is in UTF-16; save it as UTF-8: a cluster file is HCL in UTF-8."},
		{"program", "\x7fELF\x02\x01\x00\x00", "program has the control character U+007F in line 1"},
		{"garbage.hcl", "cluster \"c\" {}\n\xde\xad\xbe\xef", "garbage.hcl has bytes in line 2 that are no UTF-8"},
		{"escape.hcl", "cluster \"\x1b[2J\" {}", "escape.hcl has the control character U+001B in line 1"},
		{"deep.hcl", "cluster \"c\" { version = " + strings.Repeat("[", 1<<19), "deep.hcl opens more than 1000 brackets up to line 1 that it does not close"},
		{"huge.hcl", valid + strings.Repeat("#\n", maxFile/2), "huge.hcl cannot be read: it is larger than 1048576 bytes."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile(c.name, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, diags := Load(c.name, nil)
			list := diags.List()
			if file != nil || len(list) != 1 || !strings.Contains(list[0].Detail, c.want) || list[0].File != c.name {
				t.Errorf("want one mistake, %q, got %+v", c.want, list)
			}
			var shown bytes.Buffer
			Write(&shown, diags, false)
			if strings.ContainsAny(shown.String(), "\x00\x1b\x7f\xff") {
				t.Errorf("what is no text is shown: %q", &shown)
			}
		})
	}
}

func TestAFolderIsNoFile(t *testing.T) {
	dir := t.TempDir()
	_, diags := Load(dir, nil)
	if list := diags.List(); len(list) != 1 || list[0].Detail != dir+" is a folder: name the cluster file in it." {
		t.Errorf("%+v", list)
	}
}

func TestAFileThatMayNotBeRead(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	path := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(path, []byte(valid), 0); err != nil {
		t.Fatal(err)
	}
	_, diags := Load(path, nil)
	if list := diags.List(); len(list) != 1 || list[0].Detail != path+" cannot be read: permission denied." {
		t.Errorf("%+v", list)
	}
}

// Editors of other systems begin a file with a mark and end lines otherwise.
func TestFilesFromOtherEditors(t *testing.T) {
	starter, _ := Starter("home")
	for name, text := range map[string]string{
		"mark": "\ufeff" + starter, "CRLF": strings.ReplaceAll(starter, "\n", "\r\n"), "no newline at the end": strings.TrimSpace(starter),
		"all": "\ufeff" + strings.TrimSpace(strings.ReplaceAll(starter, "\n", "\r\n")),
	} {
		file, shown := load(t, text, nil)
		if file == nil || shown != "" || len(file.Machines) != 3 {
			t.Errorf("%s: %+v\n%s", name, file, shown)
		}
	}
	// A mistake in such a file is still at its line and column.
	_, diags := Load(write(t, "\ufeffcluster \"c\" {}\r\nmachine \"m1\" { address = \"x\" }\r\n"), nil)
	if list := diags.List(); len(list) != 1 || list[0].Line != 2 || list[0].Column != 26 {
		t.Errorf("%+v", list)
	}
}

// write writes a cluster file for one test.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
