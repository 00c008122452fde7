package verify

import "time"

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

// machineSpans are the lane of the machine that lost its power.
func (t *tracker) machineSpans(end time.Time) []Span {
	lane, over := "machine "+t.machine, end.Sub(t.begin).Seconds()
	if t.on == 0 {
		return []Span{{Lane: lane, State: Dark, End: over}}
	}
	if t.rejoined != 0 {
		over = t.rejoined.Seconds()
	}
	return []Span{{Lane: lane, State: Dark, End: t.on.Seconds()}, {Lane: lane, State: Coming, Begin: t.on.Seconds(), End: over}}
}
