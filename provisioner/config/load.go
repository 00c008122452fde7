package config

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// Load reads the cluster file at path. vars gives values to its variables, by
// name; so do varFiles, of which later ones win over earlier ones, and vars over
// all. The file is nil if a diagnostic is an error; warnings may come with one.
// Load reads files and the environment and changes nothing.
func Load(path string, vars map[string]string, varFiles ...string) (*File, Diagnostics) {
	parser := hclparse.NewParser()
	l := &loader{dir: filepath.Dir(path), file: path}
	for _, name := range varFiles {
		l.varFile(parser, name)
	}
	for name, text := range vars {
		l.give(name, given{text: text})
	}
	file := l.load(parser, path)
	if l.diags.HasErrors() {
		file = nil
	}
	diags := once(l.diags)
	slices.SortStableFunc(diags, inOrder)
	return file, Diagnostics{diags, parser.Files(), path}
}

// loader is one Load under way.
type loader struct {
	file  string // the cluster file
	dir   string // its folder: relative paths of the file start here
	given map[string]given
	// unsure is set where a file of values could not be understood: it may have
	// given any variable.
	unsure bool
	diags  hcl.Diagnostics
	ctx    *hcl.EvalContext
	// blind is set once a part of the file could not be understood, so that
	// what depends on having seen all of it ("there is no master") is left out.
	blind bool
}

func (l *loader) load(parser *hclparse.Parser, path string) *File {
	parsed := l.source(parser, path, "cluster file")
	if parsed == nil {
		return nil
	}
	if empty(parsed) {
		l.report(nil, "Empty cluster file", "%s holds nothing: `provision init` prints a file to start from.", path)
		return nil
	}
	if !l.literals(parsed) {
		return nil
	}
	var schema fileSchema
	if diags := gohcl.DecodeBody(parsed.Body, nil, &schema); diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		l.blind = true
	}
	l.evalContext(schema)
	file := &File{Path: path}
	l.cluster(schema.Cluster, &file.Cluster)
	blocks := l.machines(schema, file)
	file.Addons = l.addonBlocks(schema.Addons)
	l.crossCheck(schema, file, blocks)
	return file
}

// report adds an error. A nil subject is one that has no place in the file.
func (l *loader) report(subject *hcl.Range, summary, detail string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(detail, short(args)...),
		Subject:  subject,
	})
}

// short cuts texts that nobody would read to their end.
func short(args []any) []any {
	const most = 300
	cut := slices.Clone(args)
	for i, arg := range cut {
		if text, ok := arg.(string); ok && len(text) > most {
			cut[i] = strings.ToValidUTF8(text[:most], "") + "..."
		}
	}
	return cut
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

// inOrder sorts mistakes as a reader meets them: what is about a whole file
// first, then from above to below.
func inOrder(a, b *hcl.Diagnostic) int {
	var x, y hcl.Range
	if a.Subject != nil {
		x = *a.Subject
	}
	if b.Subject != nil {
		y = *b.Subject
	}
	return cmp.Or(strings.Compare(x.Filename, y.Filename), cmp.Compare(x.Start.Byte, y.Start.Byte))
}

// once leaves out what was said before: a block with for_each is evaluated for
// each of its machines.
func once(diags hcl.Diagnostics) hcl.Diagnostics {
	var kept hcl.Diagnostics
	said := map[string]bool{}
	for _, d := range diags {
		text := fmt.Sprint(d.Severity, d.Subject, d.Summary, d.Detail)
		if !said[text] {
			kept = append(kept, d)
		}
		said[text] = true
	}
	return kept
}
