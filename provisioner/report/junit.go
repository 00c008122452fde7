package report

import (
	"bytes"
	"encoding/xml"
	"strconv"
	"strings"
	"time"

	"provision/provisioner/verify"
)

// The elements of JUnit's XML that CI systems agree on.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string           `xml:"name,attr"`
		Tests      int              `xml:"tests,attr"`
		Failures   int              `xml:"failures,attr"`
		Errors     int              `xml:"errors,attr"`
		Skipped    int              `xml:"skipped,attr"`
		Time       string           `xml:"time,attr"`
		Timestamp  string           `xml:"timestamp,attr"`
		Properties *junitProperties `xml:"properties"`
		Cases      []junitCase      `xml:"testcase"`

		seconds float64
	}
	junitProperties struct {
		Properties []junitProperty `xml:"property"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string      `xml:"classname,attr"`
		Name    string      `xml:"name,attr"`
		Time    string      `xml:"time,attr"`
		Failure *junitFault `xml:"failure"`
		Error   *junitFault `xml:"error"`
		Skipped *junitFault `xml:"skipped"`
		Output  string      `xml:"system-out,omitempty"`
	}
	junitFault struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit returns the report as JUnit's XML: a suite of all checks, a test case for
// each check of each subject; and a suite of one test case for each drill, whose
// properties are its measures and their goals. A goal that was missed fails
// nothing: machines differ.
func JUnit(r Report) ([]byte, error) {
	all := junitSuites{Name: "provision verify " + harmless(r.Cluster)}
	if len(r.Results) > 0 {
		all.add(checksSuite(r.Results), r.At)
	}
	for _, d := range r.Drills {
		all.add(drillSuite(d), r.At)
	}
	if r.Problem != "" {
		all.add(junitSuite{Name: "verify", Cases: []junitCase{{
			Class: "verify", Name: "comes to its end", Time: duration(0), Error: fault(r.Problem),
		}}}, r.At)
	}
	total := 0.0
	for _, s := range all.Suites {
		all.Tests, all.Failures, all.Errors, all.Skipped = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors, all.Skipped+s.Skipped
		total += s.seconds
	}
	all.Time = duration(total)
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, err
	}
	return bytes.Join([][]byte{[]byte(xml.Header), text, []byte("\n")}, nil), nil
}

// add counts a suite's cases and appends it.
func (all *junitSuites) add(s junitSuite, at time.Time) {
	s.Tests, s.Time, s.Timestamp = len(s.Cases), duration(s.seconds), at.UTC().Format("2006-01-02T15:04:05")
	for _, c := range s.Cases {
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		case c.Skipped != nil:
			s.Skipped++
		}
	}
	all.Suites = append(all.Suites, s)
}

func checksSuite(results []verify.Result) junitSuite {
	s := junitSuite{Name: "checks"}
	for _, r := range results {
		c := junitCase{Class: "checks." + harmless(r.Check), Name: harmless(r.Subject), Time: duration(r.Seconds)}
		switch r.Outcome {
		case verify.OK:
			c.Output = harmless(r.Detail)
		case verify.Failed:
			c.Failure = fault(r.Detail)
		default:
			c.Skipped = fault(r.Detail)
		}
		s.seconds += r.Seconds
		s.Cases = append(s.Cases, c)
	}
	return s
}

func drillSuite(d verify.Drill) junitSuite {
	_, end := extent(d)
	name := harmless(d.Name)
	class := "drills." + name
	s := junitSuite{Name: "drill " + name, seconds: end, Properties: &junitProperties{Properties: []junitProperty{
		{"machine", harmless(d.Machine)}, {"replicas", strconv.Itoa(d.Replicas)},
	}}}
	whole := junitCase{Class: class, Name: name + " on " + harmless(d.Machine), Time: duration(end)}
	var told strings.Builder
	for _, m := range d.Timeline {
		told.WriteString(seconds(m.Seconds) + "  " + harmless(m.What) + "\n")
	}
	whole.Output = told.String()
	if !d.Passed {
		whole.Failure = fault(reason(d))
	}
	s.Cases = append(s.Cases, whole)
	for _, m := range d.Measures {
		s.Properties.Properties = append(s.Properties.Properties, junitProperty{harmless(m.Name), value(m.Value, m.Unit)})
		if m.Goal != nil {
			s.Properties.Properties = append(s.Properties.Properties, junitProperty{harmless(m.Name) + ", goal", value(m.Goal, m.Unit)})
		}
	}
	return s
}

// fault has the first line as its message, and all of it as its text.
func fault(text string) *junitFault {
	text = harmless(text)
	first, _, _ := strings.Cut(text, "\n")
	return &junitFault{Message: first, Text: text}
}

func duration(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
