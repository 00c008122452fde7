package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// licenceFiles matches the names that modules keep their licences under.
var licenceNames = []string{"licen", "notice", "copying", "copyright", "patents"}

// licences gathers texts by content: many modules share one.
type licences struct {
	texts map[string][]string // text -> what it is for
}

func (l *licences) add(text []byte, what string) {
	if l.texts == nil {
		l.texts = map[string][]string{}
	}
	t := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
	if !slices.Contains(l.texts[t], what) {
		l.texts[t] = append(l.texts[t], what)
	}
}

// render writes each text once, below the list of what it is for.
func (l *licences) render(title string) []byte {
	type section struct{ head, text string }
	var sections []section
	for text, what := range maps.All(l.texts) {
		slices.Sort(what)
		sections = append(sections, section{strings.Join(what, "\n"), text})
	}
	slices.SortFunc(sections, func(a, b section) int { return strings.Compare(a.head+a.text, b.head+b.text) })
	var out bytes.Buffer
	out.WriteString(title)
	for _, s := range sections {
		fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 78), s.head, s.text)
	}
	return out.Bytes()
}

// addProgram adds the licences of every module that the program links.
func (b *builder) addProgram(ctx context.Context, l *licences, p program) error {
	list, err := b.modules(ctx, p)
	if err != nil {
		return err
	}
	for line := range strings.Lines(list) {
		module, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		if err := addDir(l, module, dir); err != nil {
			return err
		}
	}
	return nil
}

// modules lists the modules that the program links, one a line: path and
// version, a tab, folder. Our own module has no version and is left out.
func (b *builder) modules(ctx context.Context, p program) (string, error) {
	id := ""
	if p.sealed {
		sealed, err := b.programKey(ctx, p)
		if err != nil {
			return "", err
		}
		id = key("modules", sealed)
		if list, ok := b.cache.get("modules", id); ok && b.present(string(list)) {
			return string(list), nil
		}
	}
	format := `{{with .Module}}{{if .Replace}}{{.Replace.Path}} {{.Replace.Version}}{{"\t"}}{{.Replace.Dir}}{{else if .Version}}{{.Path}} {{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}`
	out, err := b.goRun(ctx, p, append([]string{"list", "-deps", "-tags=" + p.tags, "-f", format}, p.modArgs()...), p.pkg)
	if err != nil {
		return "", fmt.Errorf("%s: modules: %w", p.name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	list := strings.Join(slices.Compact(lines), "\n") + "\n"
	if id != "" {
		err = b.cache.put("modules", id, []byte(list))
	}
	return list, err
}

// present says whether the folders of a remembered list are still there.
func (b *builder) present(list string) bool {
	for line := range strings.Lines(list) {
		if _, dir, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			if _, err := os.Stat(dir); err != nil {
				return false
			}
		}
	}
	return true
}

// addDir adds the licence files at the top of a module. A module without any is
// a mistake that a person must look at.
func addDir(l *licences, module, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, entry := range entries {
		name := strings.ToLower(entry.Name())
		matches := slices.ContainsFunc(licenceNames, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !matches || !entry.Type().IsRegular() || strings.HasSuffix(name, ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return err
		}
		found = true
		l.add(text, module+" "+entry.Name())
	}
	if !found {
		return fmt.Errorf("module %s: no licence file in it", module)
	}
	return nil
}
