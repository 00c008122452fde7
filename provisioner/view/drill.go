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
	who := clean(strings.Join(d.Machines, " and "))
	first := who
	if len(d.Machines) > 0 {
		first = clean(d.Machines[0])
	}
	leads := ""
	if d.Leader {
		leads = first + " leads etcd. "
	}
	var what, lost string
	switch d.Kind {
	case verify.WorkerProcess:
		what = fmt.Sprintf("kubelet and containerd on %s will be killed; systemd starts them again, and pods go on meanwhile.", who)
	case verify.EtcdLeader:
		what = fmt.Sprintf("%sIts process will be killed; systemd starts it again, and another master leads meanwhile.", leads)
	case verify.Partition:
		what = fmt.Sprintf("%s%s will be cut off from all other machines, together: they reach each other, and SSH reaches them.", leads, who)
		lost = "Whatever else runs on them is lost to the others for that time, and moved away."
	default:
		what = fmt.Sprintf("%sThe power of %s will be cut, without goodbye, and given back at the end.", leads, who)
		lost = "Whatever else runs on " + who + " is lost with it."
	}
	if d.Hold != 0 {
		if d.Kind != verify.WorkerProcess && d.Kind != verify.EtcdLeader && d.Kind != verify.Partition {
			what += "\nThat is played: all its packets are dropped, SSH's too."
		}
		what += fmt.Sprintf("\nA switch on the machine itself undoes it after %s, whatever becomes of this program.", d.Hold)
	} else {
		what += "\nNothing but this program gives it back."
	}
	p.say(what + fmt.Sprintf("\n%d of %s of a Deployment made for this %s there; the others are %s.",
		d.There, count(d.Replicas, "replica"), map[bool]string{true: "runs", false: "run"}[d.There == 1], clean(strings.Join(d.Others, ", "))))
	if lost != "" {
		p.say(lost)
	}
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
	_, err := fmt.Fprintf(p.out, "%s on %s, %s: %s\n\n%s", clean(d.Name), clean(victims(d)), count(d.Replicas, "replica"), outcome,
		table(p.outStyle, []string{"MEASURE", "VALUE", "WHAT"}, rows, nil))
	return err
}

// victims are the machines that a drill harmed.
func victims(d verify.Drill) string {
	if len(d.Machines) == 0 {
		return d.Machine
	}
	return strings.Join(d.Machines, " and ")
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
