package cli

import (
	"errors"
	"strings"
	"testing"

	"provision/components/componentstest"
	"provision/provisioner/plan"
)

func TestAMasterThatDoesNotAnswerStopsEverythingAndAWorkerNothing(t *testing.T) {
	s := &session{cluster: componentstest.Cluster("m1", "w1"), unreach: map[string]error{"w1": errors.New("no route to host")}}
	if err := s.refuse(plan.Facts{}); err != nil {
		t.Errorf("a worker: %v", err)
	}
	if err := s.leftOut(); err == nil || err.Error() != "w1: left out: no route to host" {
		t.Errorf("left out: %v", err)
	}
	for silent, want := range map[string]string{
		"m2":    "",
		"m2 m3": "m3: connection refused\nnothing is done while 2 of 3 masters do not answer; 1 would be left out",
	} {
		s := &session{cluster: componentstest.Cluster("m1", "m2", "m3"), unreach: map[string]error{}}
		for _, name := range strings.Fields(silent) {
			s.unreach[name] = errors.New("connection refused")
		}
		if err := s.refuse(plan.Facts{}); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s of three masters: %v", silent, err)
		}
	}
	s.unreach["m1"] = errors.New("connection refused")
	err := s.refuse(plan.Facts{})
	if err == nil || !strings.Contains(err.Error(), "m1: connection refused") || !strings.Contains(err.Error(), "nothing is done while a master does not answer") {
		t.Errorf("a master: %v", err)
	}
}
