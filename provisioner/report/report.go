// Package report turns what verify found into files for others to read: JUnit's
// XML for CI systems, and one HTML page with each drill's timeline drawn, for
// people.
//
// It is pure: data in, bytes out; who writes them where is the cli's affair. The
// page stands alone: no script, nothing fetched, and its own policy forbids both.
// What machines and pods are called is taken as hostile.
package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"provision/provisioner/verify"
)

// Report is what one command verified.
type Report struct {
	Cluster string
	At      time.Time // when it began
	Results []verify.Result
	Drills  []verify.Drill
	// Problem is why verifying itself did not come to its end; "": it did.
	Problem string
}

// Passed says that all that was asked for was verified and found right.
func (r Report) Passed() bool {
	for _, d := range r.Drills {
		if !d.Passed {
			return false
		}
	}
	return r.Problem == "" && verify.Passed(r.Results)
}

// Summary is a sentence or a few: the report in short.
func (r Report) Summary() string {
	var sentences []string
	if r.Problem != "" {
		sentences = append(sentences, "Verifying did not come to its end.")
	}
	ok, failed, skipped := outcomes(r.Results)
	if n := ok + failed; n > 0 {
		said := fmt.Sprintf("%s passed", share(ok, n, "check"))
		if failed > 0 {
			said += fmt.Sprintf(", %d failed", failed)
		}
		if skipped > 0 {
			said += fmt.Sprintf("; %d could not be made here", skipped)
		}
		sentences = append(sentences, said+".")
	}
	passed, kept, goals := 0, 0, 0
	for _, d := range r.Drills {
		if d.Passed {
			passed++
		}
		for _, m := range d.Measures {
			if m.Goal == nil {
				continue
			}
			if goals++; met(m) {
				kept++
			}
		}
	}
	if n := len(r.Drills); n > 0 {
		sentences = append(sentences, share(passed, n, "drill")+" passed.")
	}
	switch {
	case goals > 0 && kept == goals:
		sentences = append(sentences, "Every figure that has a goal is within it.")
	case goals > 0:
		sentences = append(sentences, fmt.Sprintf("%s kept within their goals.", share(kept, goals, "figure")))
	}
	if len(sentences) == 0 {
		return "Nothing was verified."
	}
	return strings.Join(sentences, " ")
}

func outcomes(results []verify.Result) (ok, failed, skipped int) {
	for _, r := range results {
		switch r.Outcome {
		case verify.OK:
			ok++
		case verify.Failed:
			failed++
		default:
			skipped++
		}
	}
	return ok, failed, skipped
}

// share is "All 3 checks", "The check" or "2 of 3 checks".
func share(n, of int, noun string) string {
	switch {
	case of == 1 && n == 1:
		return "The one " + noun
	case n == of:
		return fmt.Sprintf("All %d %ss", of, noun)
	}
	if of != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d of %d %s", n, of, noun)
}

// met says that a measure kept its goal. What never happened did not.
func met(m verify.Measure) bool {
	return m.Goal == nil || m.Value != nil && *m.Value <= *m.Goal
}

// value is a figure with its unit, as a person reads it.
func value(v *float64, unit string) string {
	switch {
	case v == nil:
		return "never"
	case unit == "s":
		return seconds(*v)
	case unit == "":
		return strconv.FormatFloat(*v, 'f', -1, 64)
	}
	return strconv.FormatFloat(*v, 'f', -1, 64) + " " + short(harmless(unit), 12)
}

func seconds(n float64) string { return strconv.FormatFloat(n, 'f', 2, 64) + " s" }

// reason is why a drill did not pass.
func reason(d verify.Drill) string {
	if d.Reason != "" {
		return harmless(d.Reason)
	}
	return "it did not pass"
}

// harmless leaves of a text what can be seen, and line ends: nothing turns its
// reader's direction or hides.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
}
