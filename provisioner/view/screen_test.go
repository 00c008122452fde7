package view

import (
	"bytes"
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	var out bytes.Buffer
	blocks := New(&out, &out, false).Screen()
	blocks.Show("one\n")
	blocks.Show("two\n")
	blocks.Close()
	if got := out.String(); got != "one\n\ntwo\n" {
		t.Errorf("no terminal: %q", got)
	}
	out.Reset()
	screen := &Screen{out: &out, size: func() (int, int) { return 10, 5 }}
	screen.Show("one\n")
	screen.Show("a line of 20 letters\ntwo\nthree\nfour\n")
	screen.Close()
	want := "\x1b[?1049h\x1b[Hone\x1b[K\n\x1b[J" + "\x1b[Ha line of 20 letters\x1b[K\ntwo\x1b[K\n…\x1b[K\x1b[J" + "\x1b[?1049la line of 20 letters\ntwo\nthree\nfour\n"
	if got := out.String(); got != want || strings.Count(got, "\x1b[?1049") != 2 {
		t.Errorf("a terminal:\n%q, not\n%q", got, want)
	}
}
