package view

import (
	"bytes"
	"encoding/json"
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

func TestJSONHoldsNoControlCharacters(t *testing.T) {
	said := "red \u009b31m, \x7f, back \u202e, tag \U000e0041, \x1b[2J, größer 😀\n"
	var out bytes.Buffer
	if err := writeJSON(&out, map[string]string{"error": said}, "  "); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && clean(string(r)) == "?" && r != '?' }) || !strings.Contains(got, "größer 😀") {
		t.Errorf("%q", got)
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["error"] != said {
		t.Errorf("read back as %q, %v", back["error"], err)
	}
}
