package view

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components/removal"
)

func TestRemovedSaysWhatWentAndWhatStays(t *testing.T) {
	report := removal.Report{
		Removed: []string{"link wg0", "folder /opt/provision", "our value of sysctl vm.panic_on_oom"},
		Kept:    []removal.Kept{{What: "file /etc/motd", Why: "somebody changed it after us"}},
	}
	var out bytes.Buffer
	if err := New(&out, &out, false).Removed("m1", report); err != nil {
		t.Fatal(err)
	}
	want := `m1        removed     1 link, 1 folder
          put back    vm.panic_on_oom
          left        file /etc/motd: somebody changed it after us
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}

	out.Reset()
	report.Residue = []removal.Kept{{What: "mount /x", Why: "busy\x1b[2J"}}
	if err := New(&out, &out, false).Removed("m1", report); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); bytes.Contains(out.Bytes(), []byte("\x1b")) || bytes.Contains(out.Bytes(), []byte("nothing of ours")) {
		t.Errorf("said %q", text)
	}

	out.Reset()
	if err := New(&out, &out, true).Removed("m1", report); err != nil {
		t.Fatal(err)
	}
	var line struct {
		Kind, Machine string
		Residue       []removal.Kept
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Kind != "removed" || line.Machine != "m1" || len(line.Residue) != 1 {
		t.Errorf("%v: %s", err, out.String())
	}
}
