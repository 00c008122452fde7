package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The goals: what follows from detect and evict has grain more, and the API's
// longest gap is what makes no Node count as lost (components/failover).
const (
	grain   = 2 * time.Second
	apiGoal = 3 * time.Second
)

// measures are the figures of a drill, in the order in which they come about.
func (t *tracker) measures(client clientView) []Measure {
	after := func(name string, d time.Duration, what string) Measure {
		m := Measure{Name: name, Unit: "s", What: what}
		if d != 0 {
			m.Value = new(d.Seconds())
		}
		return m
	}
	within := func(m Measure, goal time.Duration) Measure {
		if o := t.d.options; goal != 0 && o.Detect != 0 {
			m.Goal = new(goal.Seconds())
		}
		return m
	}
	detect, evict := t.d.options.Detect, t.d.options.Evict
	if t.d.kind.leads() {
		detect *= 2 // the controller manager may go as well: another waits for its lease, and counts anew
	}
	var all []Measure
	if t.life == nil {
		all = append(all, after("not ready", t.notReady, "the Node counts as lost"))
	}
	if t.d.kind.moves() {
		all = append(all,
			within(after("endpoints gone", t.endpointsGone, "the Service sends nothing there any more"), detect+grain),
			after("replicas ready", t.replaced, "as many replicas as before are Ready elsewhere"),
			within(after("serving again", t.serving, "and each of them has answered through the Service"), detect+evict+grain))
	}
	if t.d.kind.leads() {
		all = append(all, within(after("etcd leader", t.led, "another master leads etcd"), apiGoal))
	}
	all = append(all,
		Measure{Name: "requests", Value: new(float64(client.total)), Unit: "requests", What: "sent to the Service until the end, one every " + askEvery.String()},
		Measure{Name: "failed requests", Value: new(float64(client.failed)), Unit: "requests", What: "of them had no answer within " + askTimeout.String()},
		Measure{Name: "longest gap", Value: new(client.gap.Seconds()), Unit: "s", What: "between two answers that a client got"},
		Measure{Name: "last failure", Value: new(client.lastFailure.Seconds()), Unit: "s", What: "after the beginning, the last request failed"})
	if t.life != nil {
		return append(all, after("rejoined", t.processesBack, "what was killed runs and answers again, from when it was killed"))
	}
	back := time.Duration(0)
	if t.rejoined != 0 {
		back = t.rejoined - t.on
	}
	return append(all, after("rejoined", back, "the Node is Ready again, from when the harm ended"))
}

// ofTheAPI are the figures of the clients that write and read all the time, and
// of what should not have happened.
func (d *drill) ofTheAPI(t *tracker, now time.Time) []Measure {
	var all []Measure
	for _, w := range d.ways {
		from := map[string]string{"outside": "through SSH, at " + d.observer.Name + "'s API server", "inside": "on " + d.inside.Name + ", at its own balancer",
			"pods": "on " + d.inside.Name + ", at the Service that pods ask"}[w.name]
		writes := look(w.writes.since(t.begin), t.begin, now)
		reads := look(w.reads.since(t.begin), t.begin, now)
		all = append(all,
			Measure{Name: "write gap " + w.name, Value: new(writes.gap.Seconds()), Unit: "s", What: "between two writes that the API took, " + from, Goal: new(apiGoal.Seconds())},
			Measure{Name: "read gap " + w.name, Value: new(reads.gap.Seconds()), Unit: "s", What: "between two answers to reads, " + from},
			Measure{Name: "failed writes " + w.name, Value: new(float64(writes.failed)), Unit: "writes", What: "had no answer within " + askTimeout.String()})
	}
	all = append(all, Measure{
		Name: wronglyLost, Value: new(float64(len(t.wrongly))), Unit: "machines",
		What: strings.TrimSpace("not harmed, and counted as lost " + strings.Join(slices.Sorted(maps.Keys(t.wrongly)), ", ")),
	})
	if d.minority != nil {
		end := t.begin.Add(t.on)
		taken := 0
		for _, a := range d.minority.writes.since(t.begin.Add(settled)) {
			if a.pod != "" && a.at.Before(end) {
				taken++
			}
		}
		all = append(all, Measure{Name: minorityWrites, Value: new(float64(taken)), Unit: "writes", What: "taken by " + d.victims[0].Name + " while it was cut off"})
	}
	return all
}

// settled is when a write that was under way at the beginning is over.
const settled = time.Second

// Measures that are to be 0.
const (
	wronglyLost    = "wrongly not ready"
	minorityWrites = "minority's writes"
	writesLost     = "writes lost"
)

// lost counts acknowledged writes that are gone, once all is over.
func (d *drill) lost(ctx context.Context) ([]Measure, error) {
	ways := d.allWays()
	if len(ways) == 0 {
		return nil, nil
	}
	lost, taken := 0, 0
	for _, w := range ways {
		w.finish()
		n, err := w.lost(ctx, d.cluster)
		if err != nil {
			return nil, fmt.Errorf("look for what was written: %w", err)
		}
		lost, taken = lost+n, taken+len(w.acked)
	}
	return []Measure{{Name: writesLost, Value: new(float64(lost)), Unit: "writes", What: fmt.Sprintf("of %d that the API took are not there", taken)}}, nil
}

// wrongOf says which measures should be 0 and are not.
func wrongOf(measures []Measure) error {
	var wrong []string
	for _, m := range measures {
		if slices.Contains([]string{wronglyLost, minorityWrites, writesLost}, m.Name) && *m.Value != 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %v %s %s", m.Name, *m.Value, m.Unit, m.What))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s", strings.Join(wrong, "; "))
	}
	return nil
}

// reached says which of the moments came, for whoever waits for the next.
func (t *tracker) reached() string {
	var names []string
	for _, m := range t.measures(clientView{}) {
		if m.Unit == "s" && m.Value != nil && *m.Value != 0 {
			names = append(names, m.Name)
		}
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
