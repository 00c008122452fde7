package view

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"provision/provisioner/plan"
)

// Plan prints what would be done: phases, stages, and in each the machines.
// Machines that the same is done to share one list.
func (p *Printer) Plan(what plan.Plan) error {
	if p.json {
		if what.Phases == nil {
			what.Phases = []plan.Phase{} // [], where nil would be null
		}
		return p.Document(struct {
			plan.Plan
			Restarts []plan.Restart `json:"restarts"`
		}{what, what.Restarts()})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, planText(p.outStyle, what))
	return err
}

func planText(s style, what plan.Plan) string {
	if what.Empty() {
		return "no changes\n"
	}
	var text strings.Builder
	for _, phase := range what.Phases {
		fmt.Fprintf(&text, "%s\n", s.bold(clean(phase.Name)))
		for _, stage := range phase.Stages {
			if stage.Name != phase.Name || len(phase.Stages) > 1 {
				fmt.Fprintf(&text, "  %s\n", clean(stage.Name))
			}
			for _, group := range group(stage.Jobs) {
				fmt.Fprintf(&text, "    %s\n", s.green(strings.Join(group.machines, ", ")))
				for _, line := range group.lines {
					fmt.Fprintf(&text, "      %s\n", line)
				}
			}
		}
		text.WriteString("\n")
	}
	fmt.Fprintf(&text, "%s on %s\n", count(what.Count(), "change"), count(len(what.Machines()), "machine"))
	if restarts := what.Restarts(); len(restarts) > 0 {
		fmt.Fprintf(&text, "%s\n", clean(restartText(restarts)))
	}
	return text.String()
}

// restartText counts and names them: "4 restarts: apiserver on m1, then m2; kubelet on
// w1, w2".
func restartText(restarts []plan.Restart) string {
	total := 0
	var parts []string
	for _, r := range restarts {
		total += r.Count()
		var batches []string
		for _, batch := range r.Batches {
			batches = append(batches, strings.Join(batch, ", "))
		}
		parts = append(parts, strings.Join(r.Units, ", ")+" on "+strings.Join(batches, ", then "))
	}
	return count(total, "restart") + ": " + strings.Join(parts, "; ")
}

// alike are the machines of a stage to which the same is done.
type alike struct {
	machines []string
	lines    []string
}

func group(jobs []plan.Job) []*alike {
	var groups []*alike
	for _, job := range jobs {
		width := 0
		for _, action := range job.Actions {
			width = max(width, len(action.Component()))
		}
		var lines []string
		for _, action := range job.Actions {
			lines = append(lines, pad(action.Component(), width)+"  "+clean(action.String()))
		}
		at := slices.IndexFunc(groups, func(g *alike) bool { return slices.Equal(g.lines, lines) })
		if at < 0 {
			groups = append(groups, &alike{lines: lines})
			at = len(groups) - 1
		}
		groups[at].machines = append(groups[at].machines, job.Machine)
	}
	return groups
}

// NoChanges says that so many machines are as wanted.
func (p *Printer) NoChanges(machines int) error {
	if p.json {
		return p.line(event{Kind: "no-changes", Machines: machines})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.out, "no changes: %s as the file says\n", machinesAre(machines))
	return err
}

func machinesAre(n int) string {
	if n == 1 {
		return "1 machine is"
	}
	return fmt.Sprintf("%d machines are", n)
}

// NothingThere says that so many machines hold nothing of ours.
func (p *Printer) NothingThere(machines int) error {
	if p.json {
		return p.line(event{Kind: "nothing-there", Machines: machines})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprintf(p.out, "nothing to remove: nothing of ours is on %s\n", count(machines, "machine"))
	return err
}
