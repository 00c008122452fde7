package view

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"provision/provisioner/plan"
	"provision/provisioner/run"
)

// live is a block of lines at the foot of a terminal, one for each machine,
// drawn again as things happen. What must stay (a phase that ended, a failure)
// scrolls away above it.
type live struct {
	out     io.Writer
	style   style
	size    func() (width, height int)
	columns columns
	summary *summary

	mu    sync.Mutex
	lines []*machineLine // in the plan's order
	by    map[string]*machineLine
	drawn int // lines of the block that are on the screen
	phase string
	stop  chan struct{}
	ended chan struct{}
}

// machineLine is what one machine is at.
type machineLine struct {
	name        string
	done, total int
	component   string
	action      string
	since       time.Time // zero: idle
	bytes, of   int64     // of an upload; of is 0 where it is none
	failed      bool
}

func size(fd int) func() (width, height int) {
	return func() (int, int) {
		width, height, err := term.GetSize(fd)
		if err != nil || width <= 0 || height <= 0 {
			return 80, 24
		}
		return width, height
	}
}

func newLive(out io.Writer, s style, size func() (int, int), sum *summary, what plan.Plan) *live {
	l := &live{
		out: out, style: s, size: size, columns: layout(what), summary: sum,
		by: map[string]*machineLine{}, stop: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, phase := range what.Phases {
		for _, stage := range phase.Stages {
			for _, job := range stage.Jobs {
				l.of(job.Machine).total += len(job.Actions)
			}
		}
	}
	go l.tick()
	return l
}

func (l *live) of(machine string) *machineLine {
	line, is := l.by[machine]
	if !is {
		line = &machineLine{name: machine}
		l.by[machine] = line
		l.lines = append(l.lines, line)
	}
	return line
}

// tick redraws so that the elapsed times move.
func (l *live) tick() {
	defer close(l.ended)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
			l.mu.Lock()
			l.draw("")
			l.mu.Unlock()
		}
	}
}

func (l *live) observe(e run.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.summary.count(e)
	stays := ""
	switch e.Kind {
	case run.Notice:
		stays = l.columns.line(l.style, e)
	case run.PhaseStart:
		l.phase = e.Phase
	case run.PhaseDone:
		stays = l.style.green("✓") + " " + clean(e.Phase) + "  " + l.style.dim(took(e.Took))
	case run.ActionStart:
		m := l.of(e.Machine)
		m.component, m.action, m.since, m.bytes, m.of = e.Component, e.Action, e.Time, 0, 0
	case run.ActionMoved:
		m := l.of(e.Machine)
		m.bytes, m.of = e.Bytes, e.Of
	case run.ActionDone:
		m := l.of(e.Machine)
		m.done, m.since = m.done+1, time.Time{}
	case run.ActionFailed:
		m := l.of(e.Machine)
		m.since, m.failed = time.Time{}, true
		stays = l.columns.line(l.style, e)
	case run.ActionStopped:
		l.of(e.Machine).since = time.Time{}
		stays = l.columns.line(l.style, e)
	}
	if stays != "" {
		l.draw(stays)
	}
}

// draw replaces the block on the screen; stays is printed for good above it.
func (l *live) draw(stays string) {
	var text strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", l.drawn)
	}
	text.WriteString("\r\x1b[J")
	if stays != "" {
		text.WriteString(stays + "\n")
	}
	width, height := l.size()
	block := l.block(width, height-1)
	for _, line := range block {
		text.WriteString(line + "\n")
	}
	l.drawn = len(block)
	io.WriteString(l.out, text.String())
}

// block is the phase and its machines; those that are at work come first where
// not all fit.
func (l *live) block(width, height int) []string {
	if l.phase == "" {
		return nil
	}
	head := fmt.Sprintf("%s  %d/%d  %s", clean(l.phase), l.summary.done, l.summary.total, took(time.Since(l.summary.begin)))
	block := []string{l.style.bold(cut(head, width))}
	shown := l.lines
	if room := max(1, height-2); len(shown) > room {
		var busy, idle []*machineLine
		for _, m := range l.lines {
			if m.since.IsZero() {
				idle = append(idle, m)
			} else {
				busy = append(busy, m)
			}
		}
		shown = append(busy, idle...)[:room]
	}
	for _, m := range shown {
		line := fmt.Sprintf("%s  %*d/%d", pad(m.name, l.columns.machine), len(fmt.Sprint(m.total)), m.done, m.total)
		switch {
		case m.failed:
			line = l.style.red(cut(line+"  failed", width))
		case m.since.IsZero():
			line = l.style.dim(cut(line, width))
		default:
			elapsed := bar(m.bytes, m.of) + took(time.Since(m.since))
			line = cut(line+"  "+pad(m.component, l.columns.component)+"  "+clean(m.action), width-utf8.RuneCountInString(elapsed)-2) + "  " + elapsed
		}
		block = append(block, line)
	}
	return block
}

// bar shows how far an upload is; nothing where there is none.
func bar(done, of int64) string {
	if of <= 0 {
		return ""
	}
	const width = 10
	full := int(min(done, of) * width / of)
	return fmt.Sprintf("%s%s %s of %s  ", strings.Repeat("█", full), strings.Repeat("░", width-full), amount(done), amount(of))
}

// cut shortens a line to a width in characters.
func cut(text string, width int) string {
	if width < 1 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// close takes the block away.
func (l *live) close() {
	close(l.stop)
	<-l.ended
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = ""
	l.draw("")
}
