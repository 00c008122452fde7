package verify

import (
	"strings"
	"time"
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
	back := time.Duration(0)
	if t.rejoined != 0 {
		back = t.rejoined - t.on
	}
	return []Measure{
		after("not ready", t.notReady, "the Node counts as lost"),
		after("endpoints gone", t.endpointsGone, "the Service sends nothing there any more"),
		after("replicas ready", t.replaced, "as many replicas as before are Ready elsewhere"),
		after("serving again", t.serving, "and each of them has answered through the Service"),
		{Name: "requests", Value: new(float64(client.total)), Unit: "requests", What: "sent to the Service until then, one every " + askEvery.String()},
		{Name: "failed requests", Value: new(float64(client.failed)), Unit: "requests", What: "of them had no answer within " + askTimeout.String()},
		{Name: "longest gap", Value: new(client.gap.Seconds()), Unit: "s", What: "between two answers that a client got"},
		{Name: "last failure", Value: new(client.lastFailure.Seconds()), Unit: "s", What: "after the cut, the last request failed"},
		after("rejoined", back, "the Node is Ready again, from when its power is given back"),
	}
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
