package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxFile bounds what is read: a cluster file, a file that it names.
const maxFile = 1 << 20

// formats say how the kinds of file are written.
var formats = map[string]string{
	"cluster file":  "`provision init` prints one to start from",
	"variable file": "each line is NAME = VALUE, with strings in quotes",
}

// source reads and parses one file; what is its kind, for the sentences about
// it. It returns nil where it reported a mistake.
func (l *loader) source(parser *hclparse.Parser, path, what string) *hcl.File {
	src, err := readFile(path)
	switch {
	case errors.Is(err, syscall.EISDIR):
		l.report(nil, "Unreadable "+what, "%s is a folder: name the %s in it.", path, what)
		return nil
	case errors.Is(err, fs.ErrNotExist) && what == "cluster file":
		l.report(nil, "Unreadable "+what, "%s cannot be read: no such file or directory. `provision init` prints a file to start from.", path)
		return nil
	case err != nil:
		l.report(nil, "Unreadable "+what, "%s cannot be read: %s.", path, reason(err))
		return nil
	}
	// Nothing of what is no text is shown: it would reach the terminal.
	if problem := notText(src); problem != "" {
		l.report(nil, "Not a text file", "%s %s: a %s is HCL in UTF-8.", path, problem, what)
		return nil
	}
	if line := tooDeep(src); line > 0 {
		l.report(nil, "Nested too deeply", "%s opens more than %d brackets up to line %d that it does not close: is it a %s?", path, maxDepth, line, what)
		return nil
	}
	file, diags := parser.ParseHCL(src, path)
	if !diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		return file
	}
	if other := otherFormat(path, src); other != "" {
		l.report(nil, "Wrong file format", "%s is %s, and a %s is HCL: %s.", path, other, what, formats[what])
		return nil
	}
	l.diags = append(l.diags, diags...)
	return nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it is larger than %d bytes", maxFile)
	}
	return data, err
}

// reason is an error without the path that the sentence around it names.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

// notText says why bytes are no text that a person wrote, or nothing.
func notText(src []byte) string {
	if bytes.HasPrefix(src, []byte{0xff, 0xfe}) || bytes.HasPrefix(src, []byte{0xfe, 0xff}) {
		return "is in UTF-16; save it as UTF-8"
	}
	line := 1
	for rest := src; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return fmt.Sprintf("has bytes in line %d that are no UTF-8", line)
		case r == '\n':
			line++
		case unicode.IsControl(r) && r != '\t' && r != '\r':
			return fmt.Sprintf("has the control character %U in line %d", r, line)
		}
		rest = rest[size:]
	}
	return ""
}

// maxDepth is far beyond what anybody writes, and far below what makes HCL's
// recursive parser run out of stack, which would end the program.
const maxDepth = 1000

// tooDeep returns the line in which brackets are nested too deeply, or 0.
func tooDeep(src []byte) int {
	depth, line := 0, 1
	for _, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		case '\n':
			line++
		}
		if depth > maxDepth {
			return line
		}
	}
	return 0
}

var yamlLine = regexp.MustCompile(`^(---|- |[\w.-]+:(\s|$))`)

// otherFormat names the format of a file that is no HCL, where it shows one.
func otherFormat(path string, src []byte) string {
	extension := filepath.Ext(path)
	for line := range bytes.Lines(bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))) {
		text := bytes.TrimSpace(line)
		switch {
		case len(text) == 0 || text[0] == '#':
			continue
		case extension == ".json" || text[0] == '{' || text[0] == '[':
			return "JSON"
		case extension == ".yaml" || extension == ".yml" || yamlLine.Match(text):
			return "YAML"
		}
		break
	}
	return ""
}

// empty reports whether a file has neither blocks nor attributes.
func empty(file *hcl.File) bool {
	body, ok := file.Body.(*hclsyntax.Body)
	return ok && len(body.Blocks) == 0 && len(body.Attributes) == 0
}
