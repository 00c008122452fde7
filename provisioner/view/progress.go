package view

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"provision/provisioner/plan"
	"provision/provisioner/run"
)

// event is one line of --json: what run.Event says, in JSON's words.
type event struct {
	Time      *time.Time `json:"time,omitempty"`
	Kind      string     `json:"kind"`
	Phase     string     `json:"phase,omitempty"`
	Stage     string     `json:"stage,omitempty"`
	Machine   string     `json:"machine,omitempty"`
	Component string     `json:"component,omitempty"`
	Action    string     `json:"action,omitempty"`
	Seconds   *float64   `json:"seconds,omitempty"`
	Bytes     int64      `json:"bytes,omitempty"` // sent so far
	Of        int64      `json:"of,omitempty"`    // to be sent in all
	Changes   int        `json:"changes,omitempty"`
	Machines  int        `json:"machines,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// Progress returns an observer that shows a run of that plan, and a function to
// call with the run's error when it ended.
func (p *Printer) Progress(what plan.Plan) (observer run.Observer, finish func(error)) {
	s := &summary{begin: time.Now(), total: what.Count(), machines: len(what.Machines())}
	if p.json {
		return observe(func(e run.Event) {
				p.mu.Lock()
				s.count(e)
				p.mu.Unlock()
				p.line(eventOf(e))
			}), func(err error) {
				e := event{Kind: "done", Changes: s.done, Seconds: new(time.Since(s.begin).Seconds())}
				if err != nil {
					e.Kind, e.Error = "failed", err.Error()
				}
				p.line(e)
			}
	}
	if fd, is := drawable(p.err); is {
		screen := newLive(p.err, p.errStyle, size(fd), s, what)
		return observe(screen.observe), func(err error) {
			screen.close()
			p.say(s.text(err))
		}
	}
	l := layout(what)
	return observe(func(e run.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			s.count(e)
			if line := l.line(p.errStyle, e); line != "" {
				fmt.Fprintln(p.err, line)
			}
		}), func(err error) {
			p.say(s.text(err))
		}
}

func (p *Printer) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.err, text)
}

// observe makes a run.Observer of a function.
type observe func(run.Event)

func (o observe) Observe(e run.Event) { o(e) }

func eventOf(e run.Event) event {
	result := event{
		Time: &e.Time, Kind: string(e.Kind), Phase: e.Phase, Stage: e.Stage,
		Machine: e.Machine, Component: e.Component, Action: e.Action, Bytes: e.Bytes, Of: e.Of,
	}
	if e.Took != 0 {
		result.Seconds = new(e.Took.Seconds())
	}
	if e.Err != nil {
		result.Error = e.Err.Error()
	}
	return result
}

// columns are the widths of a run's lines, in characters.
type columns struct {
	machine, component int
}

func layout(what plan.Plan) columns {
	var c columns
	for _, phase := range what.Phases {
		for _, stage := range phase.Stages {
			for _, job := range stage.Jobs {
				c.machine = max(c.machine, utf8.RuneCountInString(job.Machine))
				for _, action := range job.Actions {
					c.component = max(c.component, utf8.RuneCountInString(action.Component()))
				}
			}
		}
	}
	return c
}

// line is how an event looks where lines only scroll: phases, and what ended.
func (c columns) line(s style, e run.Event) string {
	head := pad(e.Machine, c.machine) + "  " + pad(e.Component, c.component) + "  " + clean(e.Action) + "  "
	switch e.Kind {
	case run.Notice:
		if e.Machine == "" {
			return s.yellow(clean(e.Action))
		}
		return s.yellow(clean(e.Machine + ": " + e.Action))
	case run.PhaseStart:
		return s.bold(clean(e.Phase))
	case run.ActionDone:
		return head + s.dim(took(e.Took))
	case run.ActionFailed:
		return head + s.red("failed") + ": " + reason(e.Err)
	case run.ActionStopped:
		return head + s.yellow("stopped")
	}
	return ""
}

func reason(err error) string {
	if err == nil {
		return "no reason given"
	}
	return clean(err.Error())
}

// Refused is an error of a run that found a reason not to begin: running it
// again is of no use while that is so.
type Refused struct{ error }

// Refuse marks an error so.
func Refuse(err error) error { return Refused{err} }

// Unwrap returns the reason.
func (r Refused) Unwrap() error { return r.error }

// summary counts what a run did. Whoever calls count sees to the locking.
type summary struct {
	begin           time.Time
	total, machines int
	done, failed    int
}

func (s *summary) count(e run.Event) {
	switch e.Kind {
	case run.ActionDone:
		s.done++
	case run.ActionFailed:
		s.failed++
	}
}

func (s *summary) text(err error) string {
	elapsed := took(time.Since(s.begin))
	if err == nil {
		return fmt.Sprintf("done in %s: %s on %s", elapsed, count(s.done, "change"), count(s.machines, "machine"))
	}
	if _, is := errors.AsType[Refused](err); is {
		return fmt.Sprintf("stopped after %s, before anything was installed; run the same command again when what stands in the way is seen to", elapsed)
	}
	return fmt.Sprintf("stopped after %s: %d of %s made; run the same command to go on", elapsed, s.done, count(max(s.total, s.done), "change"))
}
