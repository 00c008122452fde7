package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// Sizes beyond which a file is no manifest: the API takes objects of 1.5 MiB at most.
const (
	maxManifest  = 4 << 20
	maxManifests = 32 << 20 // of one addon
)

func (l *loader) addons(block *addonsSchema, a *Addons) {
	if block == nil {
		block = &addonsSchema{}
	}
	a.DNS, a.Metrics, a.Storage = l.flag(block.DNS, true), l.flag(block.Metrics, true), l.flag(block.Storage, true)
}

// addonBlocks decodes the addon blocks, and reads what they name.
func (l *loader) addonBlocks(blocks []addonSchema) []Addon {
	var addons []Addon
	seen := map[string]int{}
	for _, block := range blocks {
		a := Addon{Name: block.Name, Place: block.NameRange, Namespace: l.text(block.Namespace, "default")}
		if !isLabel(a.Name) {
			l.report(block.NameRange.Ptr(), "Invalid addon name", "%q is no name: %s.", a.Name, labelRule)
		}
		if line, twice := seen[a.Name]; twice {
			l.report(block.NameRange.Ptr(), "Duplicate addon", "There is an addon %q already (line %d): give each a name of its own.", a.Name, line)
		}
		seen[a.Name] = block.NameRange.Start.Line
		if !isLabel(a.Namespace) {
			l.report(block.Namespace.Expr.Range().Ptr(), "Invalid namespace", "%q is no name: %s.", a.Namespace, labelRule)
		}
		if block.Manifests == nil && block.Images == nil {
			l.report(block.NameRange.Ptr(), "Empty addon", "An addon needs manifests or images.")
		}
		if block.Manifests != nil {
			a.Place = block.Manifests.Expr.Range()
			a.Manifests = l.manifests(block.Manifests)
		}
		if block.Images != nil {
			a.Images = l.archives(block.Images)
		}
		addons = append(addons, a)
	}
	return addons
}

// manifests reads the files that an attribute's patterns name, each once, in the
// patterns' order.
func (l *loader) manifests(attr *hcl.Attribute) []Manifest {
	var all []Manifest
	at, size := attr.Expr.Range().Ptr(), 0
	for _, pattern := range l.texts(attr) {
		for _, name := range l.matches(at, pattern) {
			if slices.ContainsFunc(all, func(m Manifest) bool { return m.Path == name }) {
				continue
			}
			text, err := readRegular(name, maxManifest)
			if err == nil && !utf8.Valid(text) {
				err = errors.New("it is no text in UTF-8")
			}
			if err != nil {
				l.report(at, "Unreadable manifest", "%s cannot be read: %s.", name, reason(err))
				continue
			}
			if size += len(text); size > maxManifests {
				l.report(at, "Addon too large", "The manifests of one addon are %d MiB at most.", maxManifests>>20)
				return nil
			}
			all = append(all, Manifest{Path: name, Text: text})
		}
	}
	return all
}

// matches are the files of a pattern, which may be a single one's name.
func (l *loader) matches(at *hcl.Range, pattern string) []string {
	full := l.path(pattern)
	if !strings.ContainsAny(pattern, `*?[`) {
		return []string{full}
	}
	names, err := filepath.Glob(full)
	switch {
	case err != nil:
		l.report(at, "Invalid pattern", "%q is no pattern such as \"manifests/*.yaml\": %s.", pattern, err)
	case len(names) == 0:
		l.report(at, "No such file", "No file is called like %s.", full)
	}
	return names
}

// archives are image archives. They may be large: nothing of them is kept here.
func (l *loader) archives(attr *hcl.Attribute) []string {
	var all []string
	for _, name := range l.texts(attr) {
		name = l.path(name)
		info, err := os.Stat(name)
		if err == nil {
			err = regular(info)
		}
		if err == nil && info.Size() == 0 {
			err = errors.New("it is empty")
		}
		if err != nil {
			l.report(attr.Expr.Range().Ptr(), "Unreadable image archive", "%s cannot be read: %s.", name, reason(err))
			continue
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// readRegular reads a file that is one, of that many bytes at most.
func readRegular(name string, most int64) ([]byte, error) {
	info, err := os.Stat(name) // opening a named pipe would wait for its writer
	if err == nil {
		err = regular(info)
	}
	if err == nil && info.Size() > most {
		err = fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

func regular(info fs.FileInfo) error {
	switch {
	case info.IsDir():
		return errors.New("it is a folder: name its files, such as folder/*.yaml")
	case !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	}
	return nil
}
