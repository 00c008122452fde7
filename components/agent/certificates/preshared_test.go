package certificates

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePresharedKeyIsBornOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "etc", "overlay.psk")
	make := func() (string, error) {
		command := NewCommand()
		var out bytes.Buffer
		command.SetOut(&out)
		command.SetErr(&out)
		command.SetArgs([]string{"preshared-key", "--file", file})
		err := command.Execute()
		return out.String(), err
	}
	var keys []string
	for range 2 {
		if out, err := make(); err != nil || out != "" {
			t.Fatalf("%v: it says %q", err, out)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, string(text))
	}
	if keys[0] != keys[1] {
		t.Error("the second call made another key")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := make(); err == nil || strings.Contains(out+err.Error(), "hunter2") {
		t.Errorf("%v: %s", err, out)
	}
}
