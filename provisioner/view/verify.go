package view

import (
	"fmt"
	"time"
	"unicode/utf8"

	"provision/provisioner/verify"
)

// checkWidth is the longest name of a check, in characters.
var checkWidth = func() (width int) {
	for _, c := range verify.Checks {
		width = max(width, utf8.RuneCountInString(c.Name))
	}
	return width
}()

// subjectWidth leaves room for "w1 → w2"; longer names push their line.
const subjectWidth = 9

// Check shows one result as it comes: a line on standard error, or with --json
// a JSON line on standard output.
func (p *Printer) Check(r verify.Result) {
	if p.json {
		p.line(r)
		return
	}
	p.say(resultLine(p.errStyle, r))
}

func resultLine(s style, r verify.Result) string {
	line := paintOutcome(s, r.Outcome) + "  " + pad(r.Check, checkWidth) + "  " + pad(clean(r.Subject), subjectWidth) + "  " +
		s.dim(took(seconds(r.Seconds)))
	if r.Detail != "" {
		line += "  " + clean(r.Detail)
	}
	return line
}

func paintOutcome(s style, o verify.Outcome) string {
	text := pad(string(o), len(verify.NotChecked))
	switch o {
	case verify.OK:
		return s.green(text)
	case verify.Failed:
		return s.red(text)
	}
	return s.yellow(text)
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// Verified sums the results up: one row for each check, every failure by name,
// and what no check stands for. With --json everything was said by Check.
func (p *Printer) Verified(results []verify.Result) error {
	if p.json {
		return nil
	}
	type sum struct{ ok, failed, skipped int }
	sums := map[string]*sum{}
	var failures []verify.Result
	for _, r := range results {
		if sums[r.Check] == nil {
			sums[r.Check] = &sum{}
		}
		switch r.Outcome {
		case verify.OK:
			sums[r.Check].ok++
		case verify.Failed:
			sums[r.Check].failed++
			failures = append(failures, r)
		default:
			sums[r.Check].skipped++
		}
	}
	var rows [][]string
	for _, c := range verify.Checks {
		n := sums[c.Name]
		if n == nil {
			continue
		}
		outcome, of := verify.OK, fmt.Sprintf("%d of %d", n.ok, n.ok+n.failed)
		switch {
		case n.failed > 0:
			outcome = verify.Failed
		case n.ok == 0:
			outcome, of = verify.NotChecked, ""
		}
		rows = append(rows, []string{c.Name, string(outcome), of, c.What})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	text := table(p.outStyle, []string{"CHECK", "OUTCOME", "PASSED", "WHAT"}, rows, func(column int, cell string) string {
		if column != 1 {
			return cell
		}
		switch verify.Outcome(cell) {
		case verify.OK:
			return p.outStyle.green(cell)
		case verify.Failed:
			return p.outStyle.red(cell)
		}
		return p.outStyle.yellow(cell)
	})
	for _, r := range failures {
		text += fmt.Sprintf("%s %s, %s: %s\n", p.outStyle.red("failed:"), r.Check, clean(r.Subject), clean(r.Detail))
	}
	_, err := fmt.Fprint(p.out, text+"\nnote: "+verify.Limit+"\n")
	return err
}
