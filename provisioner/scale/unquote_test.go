package scale

import (
	"errors"
	"strings"
)

// unquote takes a line apart as a POSIX shell does, as far as package ssh quotes.
func unquote(line string) ([]string, error) {
	var argv []string
	var word strings.Builder
	begun, quoted := false, false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case b == '\'':
			quoted, begun = !quoted, true
		case quoted:
			word.WriteByte(b)
		case b == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			begun = true
		case b == ' ':
			if begun {
				argv = append(argv, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteByte(b)
			begun = true
		}
	}
	if begun {
		argv = append(argv, word.String())
	}
	if quoted || len(argv) == 0 {
		return nil, errors.New("not a command line: " + line)
	}
	return argv, nil
}
