package view

import (
	"bytes"
	"strings"
	"testing"
)

func TestAMachinesTextOnATerminal(t *testing.T) {
	var out bytes.Buffer
	w := Text(&out)
	for _, part := range []string{"pla", "in\n\tin", "dented\n\x1b[2", "Jred \xc2", "\x9b31m\rgone\nthe end"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "plain\n\tindented\n?[2Jred ?31m?gone\nthe end\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestALineWithoutEndIsShownInParts(t *testing.T) {
	var out bytes.Buffer
	w := Text(&out)
	for range 100 {
		w.Write([]byte(strings.Repeat("x", 10<<10)))
	}
	if held := 100*10<<10 - strings.Count(out.String(), "x"); held >= maxLine {
		t.Errorf("%d bytes are held back", held)
	}
}
