package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/actions"
)

func TestUnitsOfAJobStartTogether(t *testing.T) {
	file := actions.File{Of: "x", Path: "/etc/x"}
	wait := actions.WaitAPI{Of: "master"}
	ready := actions.Units{Of: "containerd", Start: []string{"containerd"}, Wait: true}
	got := together([]components.Action{
		file, actions.Units{Of: "etcd", Restart: []string{"etcd"}}, ready, file,
		actions.Units{Of: "master", Start: []string{"scheduler"}, Restart: []string{"apiserver"}, Enable: []string{"scheduler"}}, wait,
	})
	want := []components.Action{file, ready, file,
		actions.Units{Of: "units", Enable: []string{"scheduler"}, Start: []string{"scheduler"}, Restart: []string{"etcd", "apiserver"}}, wait}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	one := []components.Action{file, actions.Units{Of: "etcd", Start: []string{"etcd"}}}
	want = []components.Action{file, actions.Units{Of: "units", Start: []string{"etcd"}}}
	if diff := cmp.Diff(want, together(one)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCanBeDoneMeanwhileComesBeforeTheWait(t *testing.T) {
	file := actions.File{Of: "x", Path: "/etc/x"}
	start := actions.Units{Of: "containerd", Start: []string{"containerd"}, Wait: true}
	wait := actions.WaitAPI{Of: "master"}
	got := waitLast([]components.Action{file, wait, start, file})
	if diff := cmp.Diff([]components.Action{file, start, file, wait}, got); diff != "" {
		t.Error(diff)
	}
}
