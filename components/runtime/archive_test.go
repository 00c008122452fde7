package runtime_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/runtime"
)

func TestArchivesAreSentOnce(t *testing.T) {
	c := componentstest.Cluster("m1")
	site := componentstest.NewSite(c)
	m := site.Machines["m1"]
	name := filepath.Join(t.TempDir(), "images.tar")
	content := strings.Repeat("images", 100_000)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	archive := components.Archive{Path: name, SHA256: components.Sum([]byte(content)), Size: int64(len(content))}
	c.Own = []components.Addon{{Name: "a", Images: []components.Archive{archive}}, {Name: "b", Images: []components.Archive{archive}}}
	todo := runtime.Archives(c, c.Machines[0], m.Facts())
	if len(todo) != 1 || todo[0].String() != "send and import the images of images.tar (addon a, 0.6 MB)" {
		t.Fatalf("%v", todo)
	}
	// A file that changed since is not taken for the one that was planned.
	if err := os.WriteFile(name, []byte(content+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := todo[0].Apply(t.Context(), m, site); err == nil || !strings.Contains(err.Error(), "changed while it was sent") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := todo[0].Apply(t.Context(), m, site); err != nil {
		t.Fatal(err)
	}
	if again := runtime.Archives(c, c.Machines[0], m.Facts()); len(again) > 0 {
		t.Errorf("still to do: %v", again)
	}
}
