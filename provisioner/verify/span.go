package verify

import (
	"strings"
	"time"
)

// Span is a stretch of a drill's time in which something was so: what a picture
// of the drill is drawn from. Its times are in seconds after the drill began to
// do harm, like a Moment's.
type Span struct {
	Lane  string  `json:"lane"` // what it is of: "machine w2", "Service, asked from m1", "API writes", "etcd leader"
	State State   `json:"state"`
	Begin float64 `json:"begin"`
	End   float64 `json:"end"`
	What  string  `json:"what,omitempty"` // a word to go with it: "m2" where the lane is who leads
}

// State is how it was.
type State string

// The states.
const (
	Answered State = "answered" // all that was asked
	Partly   State = "partly"   // some of it was answered, some failed
	Silent   State = "failed"   // nothing was answered
	Dark     State = "dark"     // a machine without power, or cut off
	Coming   State = "coming"   // it has its power again, and its Node is not Ready yet
	Leads    State = "leads"    // What is the leader
)

// spanGrain is the shortest stretch that is told apart, in which a client asks a
// few times.
const spanGrain = 250 * time.Millisecond

// spansOf folds a client's answers from begin to end into spans of one lane. A
// stretch in which nothing ended belongs to the one before it.
func spansOf(lane string, answers []answer, begin, end time.Time) []Span {
	var spans []Span
	for from := begin; from.Before(end); from = from.Add(spanGrain) {
		to := from.Add(spanGrain)
		if to.After(end) {
			to = end
		}
		good, bad := 0, 0
		for _, a := range answers {
			switch {
			case a.at.Before(from) || !a.at.Before(to):
			case a.pod == "":
				bad++
			default:
				good++
			}
		}
		state := Answered
		switch last := len(spans) - 1; {
		case good == 0 && bad == 0 && last >= 0:
			state = spans[last].State
		case good == 0:
			state = Silent
		case bad > 0:
			state = Partly
		}
		if last := len(spans) - 1; last >= 0 && spans[last].State == state {
			spans[last].End = to.Sub(begin).Seconds()
			continue
		}
		spans = append(spans, Span{Lane: lane, State: state, Begin: from.Sub(begin).Seconds(), End: to.Sub(begin).Seconds()})
	}
	return spans
}

// machineSpans are the lane of a machine that fell silent.
func (t *tracker) machineSpans(machine string, end time.Time) []Span {
	lane, over := "machine "+machine, end.Sub(t.begin).Seconds()
	if t.on == 0 {
		return []Span{{Lane: lane, State: Dark, End: over}}
	}
	if t.rejoined != 0 {
		over = t.rejoined.Seconds()
	}
	return []Span{{Lane: lane, State: Dark, End: t.on.Seconds()}, {Lane: lane, State: Coming, Begin: t.on.Seconds(), End: over}}
}

// spans are all lanes of a drill that ended now.
func (t *tracker) spans(client *requests, end time.Time) []Span {
	var all []Span
	for _, m := range t.d.victims {
		if t.life != nil {
			back := t.processesBack
			if back == 0 {
				back = end.Sub(t.begin)
			}
			all = append(all, Span{Lane: "machine " + m.Name, State: Coming, End: back.Seconds(), What: strings.Join(t.life.units, ", ")})
			continue
		}
		all = append(all, t.machineSpans(m.Name, end)...)
	}
	all = append(all, spansOf("Service, asked from "+t.d.observer.Name, client.since(t.begin), t.begin, end)...)
	for _, w := range t.d.allWays() {
		all = append(all, spansOf("API writes, "+w.name, w.writes.since(t.begin), t.begin, end)...)
	}
	for _, w := range t.d.ways {
		all = append(all, spansOf("API reads, "+w.name, w.reads.since(t.begin), t.begin, end)...)
	}
	if t.heir != nil {
		over := end.Sub(t.begin).Seconds()
		led := over
		if t.led != 0 {
			led = t.led.Seconds()
		}
		all = append(all, Span{Lane: "etcd leader", State: Silent, End: led})
		if name, _ := t.heir.found(); t.led != 0 {
			all = append(all, Span{Lane: "etcd leader", State: Leads, Begin: led, End: over, What: name})
		}
	}
	return all
}
