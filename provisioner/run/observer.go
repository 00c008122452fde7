package run

import "time"

// Observer is told what happens, from several goroutines at once.
type Observer interface {
	Observe(Event)
}

// Kind says what an Event reports.
type Kind string

// The kinds of events, in the order in which a run brings them.
const (
	Notice       Kind = "notice" // Action is a sentence; at any time
	LockHeld     Kind = "lock"
	PhaseStart   Kind = "phase-start"
	StageStart   Kind = "stage-start"
	ActionStart  Kind = "action-start"
	ActionMoved  Kind = "action-progress" // Bytes and Of say how far an upload is
	ActionDone   Kind = "action-done"
	ActionFailed Kind = "action-failed"
	// ActionStopped is an action that the interrupt ended in its middle, as it may: the next run goes on there.
	ActionStopped Kind = "action-stopped"
	StageDone     Kind = "stage-done"
	PhaseDone     Kind = "phase-done"
)

// Event is one thing that happened. Fields that do not apply are empty.
type Event struct {
	Time      time.Time
	Kind      Kind
	Phase     string
	Stage     string
	Machine   string
	Component string
	Action    string
	Took      time.Duration
	Bytes, Of int64 // Of is 0 where nobody knows
	Err       error
}

func (r *runner) tell(e Event) {
	if r.env.Observer != nil {
		e.Time = time.Now()
		r.env.Observer.Observe(e)
	}
}
