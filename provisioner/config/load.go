package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// maxFile bounds what is read: a cluster file, a file that it names.
const maxFile = 1 << 20

// Load reads the cluster file at path. vars gives values to its variables, by
// name. The file is nil if a diagnostic is an error; warnings may come with
// one. Load reads files and the environment and changes nothing.
func Load(path string, vars map[string]string) (*File, Diagnostics) {
	parser := hclparse.NewParser()
	l := &loader{dir: filepath.Dir(path)}
	file := l.load(parser, path, vars)
	if l.diags.HasErrors() {
		file = nil
	}
	return file, Diagnostics{l.diags, parser.Files()}
}

// loader is one Load under way.
type loader struct {
	dir   string // relative paths of the file start here
	diags hcl.Diagnostics
	ctx   *hcl.EvalContext
	// blind is set once a part of the file could not be understood, so that
	// what depends on having seen all of it ("there is no master") is left out.
	blind bool
}

func (l *loader) load(parser *hclparse.Parser, path string, vars map[string]string) *File {
	src, err := readFile(path)
	if err != nil {
		l.report(nil, "Unreadable cluster file", "%s cannot be read: %s.", path, reason(err))
		return nil
	}
	parsed, diags := parser.ParseHCL(src, path)
	l.diags = append(l.diags, diags...)
	if diags.HasErrors() {
		return nil
	}
	var schema fileSchema
	if diags := gohcl.DecodeBody(parsed.Body, nil, &schema); diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		l.blind = true
	}
	l.evalContext(schema, vars)
	file := &File{Path: path}
	l.cluster(schema.Cluster, &file.Cluster)
	blocks := l.machines(schema, file)
	l.crossCheck(schema, file, blocks)
	return file
}

// report adds an error. A nil subject is one that has no place in the file.
func (l *loader) report(subject *hcl.Range, summary, detail string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(detail, args...),
		Subject:  subject,
	})
}

func (l *loader) warn(subject *hcl.Range, summary, detail string, args ...any) {
	l.report(subject, summary, detail, args...)
	l.diags[len(l.diags)-1].Severity = hcl.DiagWarning
}

// path makes a path of the file absolute: ~ is the operator's home, and what is
// relative starts at the cluster file's folder.
func (l *loader) path(name string) string {
	if name == "~" || len(name) > 1 && name[:2] == "~/" {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, name[1:])
		}
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(l.dir, name)
	}
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
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
