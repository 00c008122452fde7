package ssh

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSaid bounds an error's text, in bytes: a machine's last line may have a
// megabyte.
const maxSaid = 4 << 10

// toldError is an error with a machine's words in it, made fit to be shown. What
// it wraps still has them as they came.
type toldError struct {
	text string
	error
}

func (e *toldError) Error() string { return e.text }
func (e *toldError) Unwrap() error { return e.error }

// plainly makes an error's text one line without control characters: what a
// machine says (its stderr, why it disconnects or refuses a channel, its SFTP
// server's status) must not move the operator's cursor, set titles, or look like
// a line of ours.
func plainly(err error) error {
	if err == nil {
		return nil
	}
	was := err.Error()
	text := was
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "..."
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	if text == was {
		return err
	}
	return &toldError{text, err}
}
