package report

import (
	"bytes"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"provision/provisioner/verify"
)

var update = flag.Bool("update", false, "rewrite testdata")

var when = time.Date(2026, 11, 22, 21, 4, 5, 0, time.UTC)

// whole has something of everything.
func whole() Report {
	return Report{
		Cluster: "demo", At: when,
		Results: []verify.Result{
			{Check: "pod to pod", Subject: "m1 → w1", Outcome: verify.OK, Seconds: 0.012, Detail: "at try 2"},
			{Check: "pod to pod", Subject: "w1 → m1", Outcome: verify.Failed, Seconds: 8, Detail: "dial tcp 10.244.0.3:8080: i/o timeout"},
			{Check: "DNS", Subject: "w1", Outcome: verify.OK, Seconds: 0.2},
			{Check: "outside", Subject: "w1", Outcome: verify.NotChecked, Detail: "no way out: no resolver of the machine's answers"},
		},
		Drills: []verify.Drill{worker(), leader()},
	}
}

func worker() verify.Drill {
	return verify.Drill{
		Name: "worker power", Machine: "w2", Replicas: 2, Passed: true,
		Measures: []verify.Measure{
			{Name: "not ready", Value: new(6.09), Unit: "s", What: "the Node counts as lost"},
			{Name: "endpoints gone", Value: new(6.11), Unit: "s", What: "the Service sends nothing there any more", Goal: new(8.0)},
			{Name: "serving again", Value: new(12.4), Unit: "s", What: "and each of the replicas has answered through the Service", Goal: new(12.0)},
			{Name: "failed requests", Value: new(62.0), Unit: "requests", What: "of them had no answer within 1s"},
			{Name: "longest gap", Value: new(0.31), Unit: "s", What: "between two answers that a client got"},
			{Name: "rejoined", Value: new(5.2), Unit: "s", What: "the Node is Ready again, from when its power is given back"},
		},
		Timeline: []verify.Moment{
			{Seconds: 0, What: "the power of w2 is cut"},
			{Seconds: 6.09, What: "Node w2 is not Ready any more"},
			{Seconds: 6.11, What: "the Service sends nothing to w2 any more"},
			{Seconds: 11.9, What: "2 replicas are Ready on other machines"},
			{Seconds: 12.4, What: "every replica has answered through the Service"},
			{Seconds: 12.41, What: "the power of w2 is given back"},
			{Seconds: 17.6, What: "Node w2 is Ready again"},
		},
		Spans: []verify.Span{
			{Lane: "machine w2", State: verify.Dark, End: 12.41},
			{Lane: "machine w2", State: verify.Coming, Begin: 12.41, End: 17.6},
			{Lane: "Service, asked from m1", State: verify.Answered, End: 1},
			{Lane: "Service, asked from m1", State: verify.Partly, Begin: 1, End: 7},
			{Lane: "Service, asked from m1", State: verify.Answered, Begin: 7, End: 17.6},
		},
	}
}

func leader() verify.Drill {
	return verify.Drill{
		Name: "etcd leader", Machine: "m2", Reason: "m2: gave up after 3m0s; reached: writes again\nthe API server does not answer",
		Measures: []verify.Measure{
			{Name: "writes again", Value: new(2.1), Unit: "s", What: "the API took a write", Goal: new(3.0)},
			{Name: "rejoined", Unit: "s", What: "the member votes again", Goal: new(30.0)},
		},
		Timeline: []verify.Moment{
			{Seconds: -0.4, What: "the dead-man's switch is armed on m2"},
			{Seconds: 0, What: "etcd on m2 is killed"},
			{Seconds: 1.7, What: "m3 leads"},
			{Seconds: 2.1, What: "a write succeeded"},
			{Seconds: 8, What: "etcd on m2 may start again"},
		},
		Spans: []verify.Span{
			{Lane: "machine m2", State: verify.Dark, End: 8},
			{Lane: "API writes", State: verify.Answered, Begin: -0.4, End: 0},
			{Lane: "API writes", State: verify.Silent, Begin: 0, End: 2.1},
			{Lane: "API writes", State: verify.Answered, Begin: 2.1, End: 14},
			{Lane: "etcd leader", State: verify.Leads, Begin: -0.4, End: 0, What: "m2"},
			{Lane: "etcd leader", State: verify.Leads, Begin: 1.7, End: 14, What: "m3"},
		},
	}
}

func TestGoldens(t *testing.T) {
	junit, err := JUnit(whole())
	if err != nil {
		t.Fatal(err)
	}
	page, err := HTML(whole())
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"whole.xml": junit, "whole.html": page} {
		name = filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(name, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s (go test -update rewrites it):\n%s", name, diff)
		}
	}
}

// hostile is whole with names that would break out of where they stand.
func hostile() Report {
	const evil = `</title></style><script>alert(1)</script>"'><img src=http://evil.invalid/x onerror=alert(1)>]]>&{{.}}` + "\x00\x1b[2J\u202e\ufffe\xff"
	r := whole()
	r.Cluster, r.Problem = evil, evil
	for i := range r.Results {
		r.Results[i].Subject, r.Results[i].Detail = evil, evil
	}
	for i := range r.Drills {
		d := &r.Drills[i]
		d.Name, d.Machine, d.Reason = evil, evil+strings.Repeat("w", 300), evil
		for j := range d.Measures {
			d.Measures[j].Name, d.Measures[j].What, d.Measures[j].Unit = evil, evil, evil
		}
		for j := range d.Timeline {
			d.Timeline[j].What = evil
		}
		for j := range d.Spans {
			d.Spans[j].Lane, d.Spans[j].What = evil, evil
		}
	}
	r.Drills[0].Spans[0].State = evil
	return r
}

var reports = map[string]func() Report{
	"whole": whole, "hostile": hostile,
	"nothing":      func() Report { return Report{} },
	"empty drills": func() Report { return Report{At: when, Drills: []verify.Drill{{}, {Name: "x", Passed: true}}} },
	"one moment": func() Report {
		return Report{At: when, Drills: []verify.Drill{{Timeline: []verify.Moment{{Seconds: 0, What: "cut"}}}}}
	},
	"ended early": func() Report { return Report{At: when, Problem: "no API server answers"} },
}

func TestJUnitIsWellFormedAndCounts(t *testing.T) {
	for name, of := range reports {
		text, err := JUnit(of())
		if err != nil {
			t.Fatal(err)
		}
		var got junitSuites
		if err := xml.Unmarshal(text, &got); err != nil {
			t.Errorf("%s: %v in\n%s", name, err, text)
			continue
		}
		cases, failures, faults, skipped := 0, 0, 0, 0
		for _, s := range got.Suites {
			for _, c := range s.Cases {
				if cases++; c.Name == "" && name == "whole" {
					t.Errorf("a case without a name in %s", s.Name)
				}
				if c.Failure != nil {
					failures++
				}
				if c.Error != nil {
					faults++
				}
				if c.Skipped != nil {
					skipped++
				}
			}
		}
		if cases != got.Tests || failures != got.Failures || faults != got.Errors || skipped != got.Skipped {
			t.Errorf("%s: %d cases, %d failures, %d errors, %d skipped; it says %+v", name, cases, failures, faults, skipped, got)
		}
	}
}

// A drill that did not pass is a failure with its reason, and its measures are
// properties.
func TestJUnitTellsReasonsAndMeasures(t *testing.T) {
	text, err := JUnit(whole())
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 6 || got.Failures != 2 || got.Skipped != 1 {
		t.Errorf("%d tests, %d failures, %d skipped", got.Tests, got.Failures, got.Skipped)
	}
	drill := got.Suites[2]
	failure := drill.Cases[0].Failure
	if failure == nil || !strings.HasSuffix(failure.Message, "reached: writes again") || !strings.Contains(failure.Text, "the API server does not answer") {
		t.Errorf("%+v", failure)
	}
	for _, want := range []junitProperty{{"machine", "m2"}, {"writes again", "2.10 s"}, {"writes again, goal", "3.00 s"}, {"rejoined", "never"}} {
		if !slices.Contains(drill.Properties.Properties, want) {
			t.Errorf("no property %v in %v", want, drill.Properties.Properties)
		}
	}
}

// The page has only what it is made of, whatever machines are called.
func TestPageHoldsNothingStrange(t *testing.T) {
	known := strings.Fields(`html head meta title style body header p time h1 bdi span nav ul li a main section h2 h3 figure figcaption svg desc g line text rect circle
		div table caption thead tbody tr th td small details summary`)
	for name, of := range reports {
		page, err := HTML(of())
		if err != nil {
			t.Fatal(err)
		}
		root, err := html.Parse(bytes.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		var links []string
		for n := range root.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if !slices.Contains(known, n.Data) {
				t.Errorf("%s: an element %s", name, n.Data)
			}
			for _, a := range n.Attr {
				switch {
				case a.Key == "id":
					if ids[a.Val] {
						t.Errorf("%s: two elements are %q", name, a.Val)
					}
					ids[a.Val] = true
				case a.Key == "href", a.Key == "aria-labelledby":
					links = append(links, strings.Fields(strings.TrimPrefix(a.Val, "#"))...)
				case strings.HasPrefix(a.Key, "on"), a.Key == "src", a.Key == "style", a.Key == "srcset", a.Key == "xlink:href":
					t.Errorf("%s: an attribute %s of %s", name, a.Key, n.Data)
				case n.Data != "meta" && strings.Contains(a.Val, "url("):
					t.Errorf("%s: %s of %s is %q", name, a.Key, n.Data, a.Val)
				}
			}
			if n.Data == "table" && !hasHeaders(n) {
				t.Errorf("%s: a table without headers", name)
			}
			if n.Data == "style" && (n.FirstChild.Data != style || strings.Contains(style, "url(") || strings.Contains(style, "@import")) {
				t.Errorf("%s: the style is not ours, or fetches something", name)
			}
		}
		for _, id := range links {
			if !ids[id] {
				t.Errorf("%s: nothing is %q", name, id)
			}
		}
		if bytes.ContainsAny(page, "\x00\x1b\u202e") {
			t.Errorf("%s: control characters", name)
		}
	}
}

func hasHeaders(table *html.Node) bool {
	columns, row := 0, 0
	for n := range table.Descendants() {
		for _, a := range n.Attr {
			if n.Data == "th" && a.Key == "scope" && a.Val == "col" {
				columns++
			} else if n.Data == "th" && a.Key == "scope" && a.Val == "row" {
				row++
			}
		}
	}
	return columns > 1 && row > 0
}

// Every moment and every lane is drawn, within the picture, and no two numbers touch
// where it is narrowest.
func TestPicture(t *testing.T) {
	d := worker()
	for range 40 { // more at once than there is room for
		d.Timeline = append(d.Timeline, verify.Moment{Seconds: 17.6, What: "again"})
	}
	p := draw(d)
	if len(p.Marks) != 47 || len(p.Lanes) != 2 || len(p.Legend) != 4 || len(p.Ticks) < 3 || len(p.Ticks) > 6 {
		t.Errorf("%d marks, %d lanes, %d in the legend, %d ticks", len(p.Marks), len(p.Lanes), len(p.Legend), len(p.Ticks))
	}
	type place struct {
		x string
		y int
	}
	seen := map[place]bool{}
	for _, m := range p.Marks {
		if m.Hidden {
			continue
		}
		if at := (place{m.X, m.Y}); seen[at] || m.Y >= p.LanesTop {
			t.Errorf("mark %d at %v", m.Number, at)
		} else {
			seen[at] = true
		}
	}
	share := regexp.MustCompile(`^(\d{1,2})\.\d{3}%$`)
	for _, l := range p.Lanes {
		for _, b := range l.Bars {
			if !share.MatchString(b.X) || !share.MatchString(b.W) {
				t.Errorf("%+v", b)
			}
		}
	}
	if p := draw(verify.Drill{Timeline: []verify.Moment{{}}}); p != nil {
		t.Errorf("a picture of one moment: %+v", p)
	}
}

func TestSummary(t *testing.T) {
	passed := whole()
	passed.Results, passed.Drills = passed.Results[:1], nil
	two := Report{Drills: []verify.Drill{worker(), worker()}}
	two.Drills[1].Measures[2].Value = new(11.0)
	for _, test := range []struct {
		report Report
		passed bool
		want   string
	}{
		{Report{}, true, "Nothing was verified."},
		{passed, true, "The one check passed."},
		{whole(), false, "2 of 3 checks passed, 1 failed; 1 could not be made here. 1 of 2 drills passed. 2 of 4 figures kept within their goals."},
		{two, true, "All 2 drills passed. 3 of 4 figures kept within their goals."},
		{Report{Problem: "x"}, false, "Verifying did not come to its end."},
	} {
		if got := test.report.Summary(); got != test.want || test.report.Passed() != test.passed {
			t.Errorf("%s; passed: %v", got, test.report.Passed())
		}
	}
}
