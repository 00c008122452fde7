package removal

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func TestTheInventoryTravels(t *testing.T) {
	text, err := json.Marshal(Inventory())
	if err != nil {
		t.Fatal(err)
	}
	var back List
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Inventory(), back); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// Whoever edits the list sees here what it must never hold.
func TestTheInventoryNamesOnlyOurs(t *testing.T) {
	list := Inventory()
	for _, unit := range list.Units {
		if !strings.HasPrefix(unit, "provision") || strings.ContainsAny(unit, "*?[/") {
			t.Errorf("unit %s", unit)
		}
	}
	upstreams := []string{"/var/lib/kubelet", "/var/log/pods", "/var/log/containers"}
	for _, dir := range slices.Concat(list.Own.Dirs, list.Own.Mounts) {
		if path.Clean(dir) != dir || !strings.Contains(dir, "/provision") || strings.Count(dir, "/") < 2 {
			t.Errorf("folder %s is not ours by its name", dir)
		}
	}
	for _, dir := range slices.Concat(list.Shared.Dirs, list.Shared.Mounts) {
		if !slices.Contains(upstreams, dir) {
			t.Errorf("folder %s is not upstream's", dir)
		}
	}
	for _, file := range list.Own.Files {
		if !strings.Contains(path.Base(file.Path), "provision") {
			t.Errorf("file %s is not ours by its name", file.Path)
		}
	}
}

// The evidence and the journal must still be there when a removal that was
// killed is repeated.
func TestEvidenceIsInWhatGoesLast(t *testing.T) {
	list := Inventory()
	for _, evidence := range list.Evidence {
		if !strings.HasPrefix(evidence, components.Etc+"/") && !strings.HasPrefix(evidence, components.Units+"/") {
			t.Errorf("%s", evidence)
		}
	}
	if last := list.Own.Dirs[len(list.Own.Dirs)-1]; !strings.HasPrefix(list.Journal, last+"/") {
		t.Errorf("the journal %s is not in the last folder, %s", list.Journal, last)
	}
	for i, dir := range list.Own.Dirs {
		for _, earlier := range list.Own.Dirs[:i] {
			if strings.HasPrefix(dir, earlier+"/") {
				t.Errorf("%s comes after %s, which holds it", dir, earlier)
			}
		}
	}
}
