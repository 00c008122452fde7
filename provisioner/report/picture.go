package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"provision/provisioner/verify"
)

// A picture's places from left to right are shares of its width, so that it fits
// a phone and a poster while its letters stay as large as the page's; from top to
// bottom they are pixels.
const (
	edge       = 3.0 // percent that stay free at both ends
	narrowest  = 300 // pixels that a picture is wide at least
	markHeight = 22
	laneHeight = 46
	barTop     = 18 // of a bar, below its lane's top
	barHeight  = 20
	axisHeight = 26
	maxRows    = 6 // of marks
)

// picture is a drill's timeline, ready to be drawn.
type picture struct {
	Height     int
	LanesTop   int // where the lanes begin and the marks end
	AxisTop    int
	Title, Say string // for whoever does not see it
	Marks      []mark
	Lanes      []lane
	Ticks      []tick
	Legend     []bar // one of each state that is there
}

// mark is a moment: a number at a place, which the table below explains.
type mark struct {
	Number int
	X      string
	Y      int
	Hidden bool // there was no room for its number
	What   string
}

type lane struct {
	Name, Whole string // short enough to be drawn; and in full
	Top         int
	Bars        []bar
}

type bar struct {
	State verify.State
	Class string
	X, W  string
	Y, H  int
	TextX string
	Text  string // "" where there is no room
	What  string
}

type tick struct {
	X, Text, Anchor string
}

// shapes tell the states apart where colours do not: in height, out of barHeight.
var shapes = map[verify.State]struct {
	class, words string
	height       int
}{
	verify.Answered: {"answered", "answered", 8},
	verify.Partly:   {"partly", "some failed", 14},
	verify.Silent:   {"silent", "none answered", 20},
	verify.Dark:     {"dark", "dark", 20},
	verify.Coming:   {"coming", "coming back", 8},
	verify.Leads:    {"leads", "leader", 20},
}

// extent is a drill's first and last time.
func extent(d verify.Drill) (begin, end float64) {
	for _, m := range d.Timeline {
		begin, end = min(begin, m.Seconds), max(end, m.Seconds)
	}
	for _, s := range d.Spans {
		begin, end = min(begin, s.Begin), max(end, s.End)
	}
	return begin, end
}

func draw(d verify.Drill) *picture {
	begin, end := extent(d)
	if len(d.Timeline)+len(d.Spans) == 0 || end-begin <= 0 {
		return nil
	}
	at := func(t float64) float64 { return edge + (100-2*edge)*(t-begin)/(end-begin) }
	p := &picture{
		Title: harmless("Timeline of " + d.Name + " on " + d.Machine),
		Say: fmt.Sprintf("%s from the first to the last of %d moments and %d stretches of time. The tables below say the same in words.",
			seconds(end-begin), len(d.Timeline), len(d.Spans)),
	}
	rows := p.mark(d.Timeline, at)
	p.LanesTop = rows*markHeight + 8
	for _, s := range d.Spans {
		i := slices.IndexFunc(p.Lanes, func(l lane) bool { return l.Whole == harmless(s.Lane) })
		if i < 0 {
			i = len(p.Lanes)
			whole := harmless(s.Lane)
			p.Lanes = append(p.Lanes, lane{Name: short(whole, 38), Whole: whole, Top: p.LanesTop + i*laneHeight})
		}
		p.Lanes[i].Bars = append(p.Lanes[i].Bars, barOf(s, p.Lanes[i].Top, at))
		if !slices.ContainsFunc(p.Legend, func(b bar) bool { return b.State == s.State }) {
			p.Legend = append(p.Legend, barOf(verify.Span{State: s.State}, -barTop, at))
		}
	}
	p.AxisTop = p.LanesTop + len(p.Lanes)*laneHeight
	p.Height = p.AxisTop + axisHeight
	p.Ticks = ticks(begin, end, at)
	return p
}

// mark places the moments in rows so that no two numbers touch, and returns how
// many rows there are.
func (p *picture) mark(moments []verify.Moment, at func(float64) float64) int {
	const wide = 100 * 22.0 / narrowest // of a mark, in percent, on the narrowest page
	var taken []float64                 // where each row's last mark is
	for i, m := range moments {
		x := at(m.Seconds)
		row := slices.IndexFunc(taken, func(last float64) bool { return math.Abs(x-last) >= wide })
		if row < 0 && len(taken) < maxRows {
			row, taken = len(taken), append(taken, 0)
		}
		k := mark{Number: i + 1, X: percent(x), Hidden: row < 0, What: seconds(m.Seconds) + ": " + harmless(m.What)}
		if row >= 0 {
			taken[row], k.Y = x, row*markHeight+markHeight/2+1
		}
		p.Marks = append(p.Marks, k)
	}
	return len(taken)
}

func barOf(s verify.Span, top int, at func(float64) float64) bar {
	shape, known := shapes[s.State]
	if !known {
		shape.class, shape.words, shape.height = "other", harmless(string(s.State)), 14
	}
	x, w := at(s.Begin), at(s.End)-at(s.Begin)
	b := bar{
		State: s.State, Class: shape.class, X: percent(x), W: percent(max(w, 0)),
		Y: top + barTop + (barHeight-shape.height)/2, H: shape.height,
		What: harmless(s.What),
	}
	if text := short(b.What, 20); shape.height == barHeight && float64(8*utf8.RuneCountInString(text)+8) < w/100*narrowest {
		b.Text, b.TextX = text, percent(x+w/2)
	}
	words := shape.words
	if b.What != "" {
		words += ": " + b.What
	}
	if s.End > s.Begin {
		words += ", " + seconds(s.Begin) + " to " + seconds(s.End)
	}
	b.What = words
	return b
}

// ticks are five or fewer, at round times.
func ticks(begin, end float64, at func(float64) float64) []tick {
	step := math.Pow(10, math.Floor(math.Log10((end-begin)/5)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (end-begin)/(step*factor) <= 5 {
			step *= factor
			break
		}
	}
	var all []tick
	for n := math.Ceil(begin / step); n*step <= end; n++ {
		x := at(n * step)
		t := tick{X: percent(x), Anchor: "middle", Text: strconv.FormatFloat(math.Round(n*step*1000)/1000+0, 'f', -1, 64) + " s"}
		switch {
		case x < 6:
			t.Anchor = "start"
		case x > 94:
			t.Anchor = "end"
		}
		all = append(all, t)
	}
	return all
}

func percent(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) + "%" }

// short keeps a text within so many characters.
func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
