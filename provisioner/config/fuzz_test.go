package config

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// Whatever is in the file, Load ends, and says why it has no cluster to give.
// The seeds are what `go test` runs: every file of mistakes and every example.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/errors/*.hcl", "../../examples/*.hcl", "../../examples/*/*.hcl"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatal(pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text, "x = 1")
		}
	}
	f.Add([]byte("variable \"x\" {}\nvariable \"y\" { default = [] }\n"+valid), "x = { a = null }\ny = \"[1]\"")
	f.Fuzz(func(t *testing.T, text []byte, values string) {
		dir := t.TempDir()
		path, vars := filepath.Join(dir, "cluster.hcl"), filepath.Join(dir, "values")
		if os.WriteFile(path, text, 0o600) != nil || os.WriteFile(vars, []byte(values), 0o600) != nil {
			t.Skip()
		}
		file, diags := Load(path, map[string]string{"y": values}, vars)
		if (file == nil) != diags.HasErrors() {
			t.Errorf("file %v, but %v", file, diags.Diagnostics)
		}
		if err := Write(&bytes.Buffer{}, diags, false); err != nil {
			t.Error(err)
		}
	})
}
