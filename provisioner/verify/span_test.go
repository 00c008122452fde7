package verify

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSpansOf(t *testing.T) {
	begin := time.Unix(1e9, 0)
	var answers []answer
	ask := func(from, to int, pods ...string) {
		for i := 0; from+50*i < to; i++ {
			answers = append(answers, answer{begin.Add(time.Duration(from+50*i) * time.Millisecond), pods[i%len(pods)]})
		}
	}
	ask(0, 1000, "a", "b")
	ask(1000, 2000, "a", "")
	ask(2000, 3000, "") // and then nothing ends for half a second
	ask(3500, 4100, "b")
	got := spansOf("Service", answers, begin, begin.Add(4100*time.Millisecond))
	if diff := cmp.Diff([]Span{
		{Lane: "Service", State: Answered, Begin: 0, End: 1},
		{Lane: "Service", State: Partly, Begin: 1, End: 2},
		{Lane: "Service", State: Silent, Begin: 2, End: 3.5},
		{Lane: "Service", State: Answered, Begin: 3.5, End: 4.1},
	}, got); diff != "" {
		t.Error(diff)
	}
	if got := spansOf("Service", nil, begin, begin); got != nil {
		t.Errorf("of no time at all: %v", got)
	}
	if got := spansOf("Service", nil, begin, begin.Add(time.Second)); len(got) != 1 || got[0].State != Silent {
		t.Errorf("of no answer: %v", got)
	}
}

func TestMachineSpans(t *testing.T) {
	tr := &tracker{begin: time.Unix(1e9, 0)}
	end := tr.begin.Add(20 * time.Second)
	if diff := cmp.Diff([]Span{{Lane: "machine w2", State: Dark, End: 20}}, tr.machineSpans("w2", end)); diff != "" {
		t.Error(diff)
	}
	tr.on, tr.rejoined = 12*time.Second, 17*time.Second
	if diff := cmp.Diff([]Span{{Lane: "machine w2", State: Dark, End: 12}, {Lane: "machine w2", State: Coming, Begin: 12, End: 17}}, tr.machineSpans("w2", end)); diff != "" {
		t.Error(diff)
	}
}
