package plan

import (
	"strings"
	"testing"
)

// The newest snapshot counts that was kept before an upgrade from that minor version: one
// of a later version holds what the earlier one cannot read.
func TestWhichSnapshotToGoBackTo(t *testing.T) {
	kept := []Snapshot{
		{Machine: "m1", Name: "upgrade-1.35.4-20260101T000000Z.db"}, {Machine: "m2", Name: "upgrade-1.35.4-20260101T000001Z.db"},
		{Machine: "m1", Name: "upgrade-1.36.3-20260301T000000Z.db"}, {Machine: "m3", Name: "etcd-20260401T000000Z.db"},
	}
	for _, test := range []struct{ name, version, want string }{
		{"", "1.35.4", "m2 upgrade-1.35.4-20260101T000001Z.db"},
		{"", "1.36.2", "m1 upgrade-1.36.3-20260301T000000Z.db"},
		{"etcd-20260401T000000Z.db", "1.35.4", "m3 etcd-20260401T000000Z.db"},
		{"", "1.34.1", "no master keeps a snapshot of before an upgrade from that version"},
		{"gone.db", "1.35.4", `no master keeps a snapshot called "gone.db"; there are: etcd-20260401T000000Z.db on m3`},
	} {
		got, err := ChooseSnapshot(kept, test.name, test.version)
		text := got.Machine + " " + got.Name
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, test.want) {
			t.Errorf("%q back to %s: %s, want %s", test.name, test.version, text, test.want)
		}
	}
}
