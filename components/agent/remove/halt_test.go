package remove

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/removal"
)

func (w *world) remover() *remover {
	return &remover{list: removal.Inventory(), effects: effects{root: w.root, run: w.run, kill: w.kill, mounts: w.mounts, unmount: w.unmount}}
}

func (w *world) halt() removal.Report {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r := w.remover()
	if err := r.halt(ctx); err != nil {
		w.t.Fatal(err)
	}
	return r.report
}

func TestAFencedMachineRunsNothingAndKeepsEverything(t *testing.T) {
	w := newWorld(t)
	w.node()
	w.enable("provision.target")
	report := w.halt()
	if len(report.Residue) > 0 {
		t.Fatalf("left: %v", report.Residue)
	}
	if len(w.active) > 0 || len(w.procs) != 1 || w.procs[7] == "" {
		t.Errorf("units %v, processes %v", w.active, w.procs)
	}
	if got := strings.Join(w.points, " "); strings.Contains(got, "/pods/") || !strings.Contains(got, "kubelet-of-another") {
		t.Errorf("mounts: %s", got)
	}
	if w.there(components.Units+"/provision.target.wants/provision-kubelet.service") || w.there(components.Units+"/provision.target.wants/provision.target") {
		t.Error("it comes back with the next boot")
	}
	for _, kept := range []string{"/var/lib/kubelet/pods/1/etc-hosts", "/var/lib/provision/etcd/member/snap/db", components.Units + "/provision-kubelet.service", components.Fenced} {
		if !w.there(kept) {
			t.Errorf("%s is gone", kept)
		}
	}

	// Once more, as after a killed run: what was enabled is not forgotten.
	if again := w.halt(); len(again.Residue) > 0 {
		t.Fatalf("left at the second time: %v", again.Residue)
	}
	if err := w.remover().resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !w.active["provision-kubelet.service"] || !w.active["provision.target"] || w.active["provision-etcd.service"] {
		t.Errorf("running after all: %v", w.active)
	}
	if !w.there(components.Units+"/provision.target.wants/provision-kubelet.service") || w.there(components.Fenced) {
		t.Error("not as it was before")
	}
	if err := w.remover().resume(t.Context()); err != nil {
		t.Errorf("a machine that is not fenced: %v", err)
	}
}

// Whatever could still write to a volume is no evidence.
func TestWhatIsLeftIsNoEvidence(t *testing.T) {
	for what, spoil := range map[string]func(*world){
		"process 101": func(w *world) { w.stuck = map[int]bool{101: true} },
		"mount /var/lib/kubelet/pods/1/volumes/x": func(w *world) {
			w.busy[filepath.Join(w.root, "/var/lib/kubelet/pods/1/volumes/x")] = true
		},
		"units": func(w *world) { w.sticky = true },
	} {
		w := newWorld(t)
		w.node()
		spoil(w)
		report := w.halt()
		if len(report.Residue) == 0 || report.Residue[0].What != what {
			t.Errorf("%s: %v", what, report.Residue)
		}
	}
}

func TestAMarkThatNamesOthersUnitsIsRefused(t *testing.T) {
	w := newWorld(t)
	w.write(components.Fenced, `{"enabled":["sshd.service"]}`)
	if err := w.remover().resume(t.Context()); err == nil || !strings.Contains(err.Error(), "is not ours") {
		t.Errorf("%v", err)
	}
	if len(w.called) > 0 {
		t.Errorf("called %v", w.called)
	}
}
