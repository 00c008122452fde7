package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"time"

	"provision/provisioner/verify"
)

//go:embed files/page.html
var pageText string

//go:embed files/style.css
var style string

var page = template.Must(template.New("page").Option("missingkey=error").Parse(pageText))

// policy forbids the page everything but its own style, which it names by its sum.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
}()

type pageData struct {
	Cluster, Summary, Problem string
	At, Machine               string // for people; and as RFC 3339
	Passed                    bool
	Style                     template.CSS
	Policy                    string
	Checks                    []checkRow
	Failures, Skipped         []resultRow
	Drills                    []drillPart
	Limit                     string
}

type checkRow struct{ Name, What, Outcome, Passed string }

type resultRow struct{ Check, Subject, Detail string }

type drillPart struct {
	ID, Name, Machine, Reason string
	Sentence                  string
	Passed                    bool
	Picture                   *picture
	Measures                  []measureRow
	Moments                   []momentRow
	Stretches                 []stretchRow
}

type measureRow struct {
	Name, What, Value, Goal, Verdict string
	Bar                              *gauge
}

// gauge is a figure beside its goal, as shares of its width.
type gauge struct {
	W, Goal string
	Class   string
}

type momentRow struct {
	Number      int
	After, What string
}

// stretchRow sums up the spans of a lane that have a state in common.
type stretchRow struct{ Lane, State, First, Last, Total, Longest string }

// HTML returns the report as a page that stands alone.
func HTML(r Report) ([]byte, error) {
	data := pageData{
		Cluster: harmless(r.Cluster), Summary: r.Summary(), Problem: harmless(r.Problem), Passed: r.Passed(),
		At: r.At.UTC().Format("2 January 2006, 15:04 UTC"), Machine: r.At.UTC().Format(time.RFC3339),
		Style: template.CSS(style), Policy: policy,
	}
	if len(r.Results) > 0 {
		data.Limit = verify.Limit
		data.checks(r.Results)
	}
	for i, d := range r.Drills {
		data.Drills = append(data.Drills, part(i, d))
	}
	var text bytes.Buffer
	if err := page.Execute(&text, data); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// checks fills in a row for each check, in the order in which they come, and what
// did not pass.
func (data *pageData) checks(results []verify.Result) {
	what := map[string]string{}
	for _, c := range verify.Checks {
		what[c.Name] = c.What
	}
	by := map[string][]verify.Result{}
	var names []string
	for _, r := range results {
		if by[r.Check] == nil {
			names = append(names, r.Check)
		}
		by[r.Check] = append(by[r.Check], r)
		row := resultRow{harmless(r.Check), harmless(r.Subject), harmless(r.Detail)}
		switch r.Outcome {
		case verify.OK:
		case verify.Failed:
			data.Failures = append(data.Failures, row)
		default:
			data.Skipped = append(data.Skipped, row)
		}
	}
	for _, name := range names {
		ok, failed, _ := outcomes(by[name])
		row := checkRow{Name: harmless(name), What: what[name], Outcome: "ok", Passed: fmt.Sprintf("%d of %d", ok, ok+failed)}
		switch {
		case failed > 0:
			row.Outcome = "failed"
		case ok == 0:
			row.Outcome, row.Passed = "not checked", "–"
		}
		data.Checks = append(data.Checks, row)
	}
}

func part(i int, d verify.Drill) drillPart {
	p := drillPart{
		ID: fmt.Sprintf("drill-%d", i+1), Name: harmless(d.Name), Machine: harmless(d.Machine), Passed: d.Passed, Picture: draw(d),
	}
	if !d.Passed {
		p.Reason = reason(d)
	}
	if d.Replicas > 0 {
		noun := "replica"
		if d.Replicas != 1 {
			noun += "s"
		}
		p.Sentence = fmt.Sprintf("%d %s of a Deployment made for it were asked through their Service.", d.Replicas, noun)
	}
	for _, m := range d.Measures {
		row := measureRow{Name: harmless(m.Name), What: harmless(m.What), Value: value(m.Value, m.Unit), Goal: "–"}
		if m.Goal != nil {
			row.Goal, row.Verdict = "≤ "+value(m.Goal, m.Unit), "met"
			if !met(m) {
				row.Verdict = "missed"
			}
			row.Bar = gaugeOf(m, row.Verdict)
		}
		p.Measures = append(p.Measures, row)
	}
	for i, m := range d.Timeline {
		p.Moments = append(p.Moments, momentRow{i + 1, seconds(m.Seconds), harmless(m.What)})
	}
	p.Stretches = stretches(d.Spans)
	return p
}

func gaugeOf(m verify.Measure, class string) *gauge {
	if m.Value == nil || *m.Goal <= 0 || *m.Value < 0 {
		return nil
	}
	full := max(*m.Value, *m.Goal) * 1.1
	return &gauge{W: percent(100 * *m.Value / full), Goal: percent(100 * *m.Goal / full), Class: class}
}

func stretches(spans []verify.Span) []stretchRow {
	type kind struct {
		lane, what string
		state      verify.State
	}
	type sum struct{ first, last, total, longest float64 }
	sums := map[kind]*sum{}
	var order []kind
	for _, s := range spans {
		k := kind{s.Lane, s.What, s.State}
		if sums[k] == nil {
			sums[k] = &sum{first: s.Begin}
			order = append(order, k)
		}
		long := s.End - s.Begin
		sums[k].last, sums[k].total, sums[k].longest = s.End, sums[k].total+long, max(sums[k].longest, long)
	}
	var rows []stretchRow
	for _, k := range order {
		words := harmless(string(k.state))
		if shape, known := shapes[k.state]; known {
			words = shape.words
		}
		if k.what != "" {
			words += ": " + harmless(k.what)
		}
		n := sums[k]
		rows = append(rows, stretchRow{harmless(k.lane), words, seconds(n.first), seconds(n.last), seconds(n.total), seconds(n.longest)})
	}
	return rows
}
