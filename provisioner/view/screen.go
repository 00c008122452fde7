package view

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Screen shows whole texts one after the other: on a terminal each in the place
// of the one before, and the last stays when it is closed; elsewhere one below
// the other, with an empty line between.
type Screen struct {
	out  io.Writer
	size func() (width, height int) // nil: no terminal
	last string
}

// Screen is standard output's.
func (p *Printer) Screen() *Screen {
	s := &Screen{out: p.out}
	if fd, is := drawable(p.out); is {
		s.size = size(fd)
	}
	return s
}

// Show shows a text, as much of it as there is room for.
func (s *Screen) Show(text string) error {
	var frame strings.Builder
	if s.size == nil {
		if s.last != "" {
			frame.WriteByte('\n')
		}
		frame.WriteString(text)
	} else {
		if s.last == "" {
			frame.WriteString("\x1b[?1049h") // the other screen, as editors have
		}
		frame.WriteString("\x1b[H")
		width, height := s.size()
		room := height - 1
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if room -= max(1, (utf8.RuneCountInString(line)+width-1)/width); room < 1 {
				frame.WriteString("…\x1b[K")
				break
			}
			frame.WriteString(line + "\x1b[K\n")
		}
		frame.WriteString("\x1b[J")
	}
	s.last = text
	_, err := io.WriteString(s.out, frame.String())
	return err
}

// Close gives a terminal back, with the last text on it.
func (s *Screen) Close() {
	if s.size != nil && s.last != "" {
		fmt.Fprint(s.out, "\x1b[?1049l"+s.last)
	}
}

// DocumentLine prints one JSON document as one line to standard output.
func (p *Printer) DocumentLine(value any) error { return p.line(value) }

// Paragraph prints a line below an empty one to standard output.
func (p *Printer) Paragraph(text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text = clean(text); text != "" {
		text = "\n" + text
	}
	_, err := fmt.Fprintln(p.out, text)
	return err
}
