// Package view is the only printer: plans, progress, tables, verify's results
// and drills' measures, for a terminal, as plain lines, or as JSON. What was
// asked for goes to standard output; progress goes to standard error, unless it
// is JSON, which is what was asked for then.
//
// It decides nothing. Other packages hand it values; the words of an error are
// theirs, and the cli prints the last one.
package view

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Printer prints for one command. Its methods may be called side by side.
type Printer struct {
	out, err           io.Writer
	outStyle, errStyle style
	json               bool

	mu sync.Mutex // one line at a time
}

// New returns a printer. Colour is used on terminals only, and not where the
// environment has NO_COLOR.
func New(stdout, stderr io.Writer, asJSON bool) *Printer {
	return &Printer{
		out: stdout, err: stderr, json: asJSON,
		outStyle: styleFor(stdout), errStyle: styleFor(stderr),
	}
}

// terminal returns the file descriptor of a writer that is a terminal.
func terminal(w io.Writer) (fd int, is bool) {
	file, is := w.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	return int(file.Fd()), true
}

// drawable returns the file descriptor of a terminal that understands more than
// lines: where it is "dumb", or nobody says what it is, escape sequences would
// be shown as they are.
func drawable(w io.Writer) (fd int, is bool) {
	fd, is = terminal(w)
	kind := os.Getenv("TERM")
	return fd, is && kind != "dumb" && kind != ""
}

func styleFor(w io.Writer) style {
	_, is := drawable(w)
	return style(is && os.Getenv("NO_COLOR") == "")
}

// style says whether to use colour.
type style bool

func (s style) paint(code, text string) string {
	if !s {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(text string) string   { return s.paint("1", text) }
func (s style) dim(text string) string    { return s.paint("2", text) }
func (s style) red(text string) string    { return s.paint("31", text) }
func (s style) green(text string) string  { return s.paint("32", text) }
func (s style) yellow(text string) string { return s.paint("33", text) }

// clean makes one harmless line of a text that may come from a machine: no
// escape sequence of its reaches the terminal.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, strings.TrimSpace(text))
}

// took shows a duration as a person reads it: "0.1s", "1m05s".
func took(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
}

// count is "1 machine" or "3 machines".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// pad fills a text with spaces up to a width in characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// Say prints an error's lines to standard error, the first after a word of what
// it is. What a machine said in it reaches the terminal as text alone.
func (p *Printer) Say(word string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		fmt.Fprintf(p.err, "%s%s\n", word, clean(line))
		word = ""
	}
}

// Document prints one JSON document to standard output.
func (p *Printer) Document(value any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return writeJSON(p.out, value, "  ")
}

// line prints one JSON line to standard output.
func (p *Printer) line(value any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return writeJSON(p.out, value, "")
}

// Table prints rows below a header, in columns.
func (p *Printer) Table(header []string, rows [][]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, table(p.outStyle, header, rows, nil))
	return err
}

// table lays rows out. colour, where given, paints a cell after it was padded.
func table(s style, header []string, rows [][]string, colour func(column int, cell string) string) string {
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(clean(cell)))
		}
	}
	var text strings.Builder
	write := func(row []string, paint func(int, string) string) {
		var line strings.Builder
		for i, cell := range row {
			cell = clean(cell)
			padding := ""
			if i < len(row)-1 {
				padding = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
			}
			line.WriteString(paint(i, cell) + padding)
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	write(header, func(_ int, cell string) string { return s.bold(cell) })
	for _, row := range rows {
		write(row, func(column int, cell string) string {
			if colour == nil {
				return cell
			}
			return colour(column, cell)
		})
	}
	return text.String()
}

// Colour says whether standard error takes colour.
func (p *Printer) Colour() bool { return bool(p.errStyle) }
