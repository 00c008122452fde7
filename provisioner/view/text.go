package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Clean makes one harmless line of a machine's word, for whoever puts it into a
// line of their own.
func Clean(word string) string { return clean(word) }

// maxLine is how much of a line is waited for before it is shown, in bytes.
const maxLine = 64 << 10

// Text passes on whole lines of what a machine says, each made harmless: for
// terminals, which act on what they are shown. Close passes on what came after
// the last line's end.
func Text(to io.Writer) io.WriteCloser { return &text{to: to} }

type text struct {
	to   io.Writer
	rest bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.rest.Write(p)
	for {
		end := bytes.IndexByte(t.rest.Bytes(), '\n')
		if end < 0 && t.rest.Len() < maxLine {
			return len(p), nil
		}
		if end < 0 || end >= maxLine {
			end = maxLine - 1
		}
		if err := t.show(t.rest.Next(end + 1)); err != nil {
			return 0, err
		}
	}
}

func (t *text) Close() error {
	if t.rest.Len() == 0 {
		return nil
	}
	return t.show(t.rest.Next(t.rest.Len()))
}

func (t *text) show(line []byte) error {
	whole := strings.TrimSuffix(string(line), "\n")
	indent := len(whole) - len(strings.TrimLeft(whole, " \t"))
	_, err := io.WriteString(t.to, whole[:indent]+clean(whole)+"\n")
	return err
}

// writeJSON prints a value. encoding/json escapes the control characters of
// ASCII; the others, on which terminals act as well, are escaped here: outside
// of strings JSON has none.
func writeJSON(to io.Writer, value any, indent string) error {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	var escaped strings.Builder
	for _, r := range plain.String() {
		if r == '\n' || unicode.IsPrint(r) {
			escaped.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&escaped, `\u%04x`, unit)
		}
	}
	_, err := io.WriteString(to, escaped.String())
	return err
}
