package view

import (
	"fmt"
	"strings"

	"provision/components/removal"
)

// removed is the line of --json for what went from one machine.
type removed struct {
	Kind    string `json:"kind"`
	Machine string `json:"machine"`
	removal.Report
}

// Removed says what went from a machine, what was put back, and what stays.
func (p *Printer) Removed(machine string, report removal.Report) error {
	if p.json {
		return p.line(removed{"removed", machine, report})
	}
	var text strings.Builder
	say := func(format string, args ...any) {
		fmt.Fprintf(&text, "%s  %s\n", pad(machine, 8), clean(fmt.Sprintf(format, args...)))
		machine = ""
	}
	say("removed     %s", report.Taken())
	if back := report.PutBack(); len(back) > 0 {
		say("put back    %s", strings.ReplaceAll(strings.Join(back, ", "), "sysctl ", ""))
	}
	for _, kept := range report.Kept {
		say("left        %s: %s", kept.What, kept.Why)
	}
	for _, kept := range report.Residue {
		say("could not   %s: %s", kept.What, kept.Why)
	}
	if len(report.Kept)+len(report.Residue) == 0 {
		say("nothing of ours is left but logs")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := fmt.Fprint(p.out, text.String())
	return err
}
