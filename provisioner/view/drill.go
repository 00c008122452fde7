package view

import (
	"fmt"
	"strconv"
	"strings"

	"provision/provisioner/verify"
)

// Moment shows one line of a drill's timeline as it comes: on standard error,
// or with --json a JSON line on standard output.
func (p *Printer) Moment(m verify.Moment) {
	if p.json {
		p.line(m)
		return
	}
	p.say(momentLine(p.errStyle, m))
}

func momentLine(s style, m verify.Moment) string {
	return s.dim(fmt.Sprintf("%8.2fs", m.Seconds)) + "  " + clean(m.What)
}

// DrillPlan says what a drill is about to do, for consent.
func (p *Printer) DrillPlan(d verify.DrillPlan) {
	p.say(fmt.Sprintf("The power of %s will be cut, without goodbye, and given back at the end.\n"+
		"%d of %s of a Deployment made for this %s on it; the others are on %s.\nWhatever else runs on %s is lost with it.",
		clean(d.Machine), d.There, count(d.Replicas, "replica"), map[bool]string{true: "runs", false: "run"}[d.There == 1],
		clean(strings.Join(d.Others, ", ")), clean(d.Machine)))
}

// Drill prints what a drill measured.
func (p *Printer) Drill(d verify.Drill) error {
	if p.json {
		return p.line(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var rows [][]string
	for _, m := range d.Measures {
		rows = append(rows, []string{m.Name, value(m), m.What})
	}
	outcome := p.outStyle.green("passed")
	if !d.Passed {
		outcome = p.outStyle.red("failed")
	}
	_, err := fmt.Fprintf(p.out, "%s on %s, %s: %s\n\n%s", clean(d.Name), clean(d.Machine), count(d.Replicas, "replica"), outcome,
		table(p.outStyle, []string{"MEASURE", "VALUE", "WHAT"}, rows, nil))
	return err
}

func value(m verify.Measure) string {
	switch {
	case m.Value == nil:
		return "never"
	case m.Unit == "s":
		return strconv.FormatFloat(*m.Value, 'f', 2, 64) + " s"
	}
	return strconv.FormatFloat(*m.Value, 'f', -1, 64)
}
