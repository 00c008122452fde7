package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/componentstest"
)

// TestRestartsAreInTurn: masters one by one, workers in batches, each named, and
// nothing of a batch goes on after one that failed.
func TestRestartsAreInTurn(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2", "w3", "w4", "w5")
	c.MaxUnavailable = components.Amount{Percent: 25}
	s := site(c)
	must(t, c, s)
	c.Detect = 12 * time.Second
	p := Make(c, look(s), time.Now())
	var careful []string
	for _, phase := range p.Phases {
		for _, stage := range phase.Stages {
			if stage.Careful {
				careful = append(careful, stage.Name)
			}
		}
	}
	want := []string{"restart of m1", "restart of m2", "restart of m3", "restart of w1, w2", "restart of w3, w4", "restart of w5",
		"kubelets of m1", "kubelets of m2", "kubelets of m3", "kubelets of w1, w2", "kubelets of w3, w4", "kubelets of w5"}
	if diff := cmp.Diff(want, careful); diff != "" {
		t.Errorf("stages, -want +got:\n%s", diff)
	}
	masters, workers := [][]string{{"m1"}, {"m2"}, {"m3"}}, [][]string{{"w1", "w2"}, {"w3", "w4"}, {"w5"}}
	if diff := cmp.Diff([]Restart{
		{[]string{"etcd", "balancer", "wireguard", "overlay", "apiserver", "controller-manager", "scheduler", "certificates"}, masters},
		{[]string{"balancer", "wireguard", "overlay"}, workers},
		{[]string{"kubelet", "proxy"}, slices.Concat(masters, workers)},
	}, p.Restarts()); diff != "" {
		t.Errorf("restarts, -want +got:\n%s", diff)
	}
	must(t, c, s)
}

// TestThePresharedKeyComesEverywhereAtOnce: machines that have it do not hear the others.
func TestThePresharedKeyComesEverywhereAtOnce(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "w2", "w3")
	s := site(c)
	must(t, c, s)
	c.Overlay.PSK = true
	for _, r := range Make(c, look(s), time.Now()).Restarts() {
		if len(r.Batches) != 1 {
			t.Errorf("%v restart in %v", r.Units, r.Batches)
		}
	}
	must(t, c, s)
}

func TestALongBatchHasAShortName(t *testing.T) {
	jobs := []Job{{Machine: "w1"}, {Machine: "w2"}, {Machine: "w3"}, {Machine: "w4"}, {Machine: "w5"}}
	if got := careful("kubelets", jobs...).Name; got != "kubelets of w1, w2, w3 and 2 more" {
		t.Error(got)
	}
}
