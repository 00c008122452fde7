package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
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
		if block.Manifests == nil && block.Images == nil && block.Chart == nil {
			l.report(block.NameRange.Ptr(), "Empty addon", "An addon needs manifests, a chart or images.")
		}
		if block.Manifests != nil {
			a.Place = block.Manifests.Expr.Range()
			a.Manifests = l.manifests(block.Manifests)
		}
		if block.Chart != nil {
			a.Place = block.Chart.Expr.Range()
			a.Chart = l.chart(block.Chart)
		}
		if block.Values != nil {
			a.Values = l.chartValues(block.Values)
			if block.Chart == nil {
				l.report(block.Values.Expr.Range().Ptr(), "Values without chart", "values are for a chart: say which, in chart.")
			}
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

// chart is the path of a chart: its folder, or an archive of it.
func (l *loader) chart(attr *hcl.Attribute) string {
	name := l.path(l.text(attr, ""))
	info, err := os.Stat(name)
	switch {
	case err != nil:
	case info.IsDir():
		_, err = os.Stat(filepath.Join(name, "Chart.yaml"))
	case info.Size() > maxManifests:
		err = fmt.Errorf("it is larger than %d MiB", maxManifests>>20)
	default:
		err = regular(info)
	}
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Unreadable chart", "%s is no chart's folder or archive: %s.", name, reason(err))
		return ""
	}
	return name
}

// chartValues is a map of whatever a chart may want.
func (l *loader) chartValues(attr *hcl.Attribute) map[string]any {
	value, ok := l.value(attr, cty.DynamicPseudoType)
	if !ok {
		return nil
	}
	if t := value.Type(); !t.IsObjectType() && !t.IsMapType() {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "values must be a map such as { replicas = 2 }, not %s.", kindOf(t))
		return nil
	}
	text, err := ctyjson.Marshal(value, value.Type())
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "values cannot be told to a chart: %s.", err)
		return nil
	}
	var values map[string]any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		panic(err) // it was made a line above
	}
	return numbers(values).(map[string]any)
}

// numbers replaces JSON's numbers by what a template prints as it was written: a
// million is 1000000, and not 1e+06.
func numbers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key := range value {
			value[key] = numbers(value[key])
		}
	case []any:
		for i := range value {
			value[i] = numbers(value[i])
		}
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return whole
		}
		float, _ := value.Float64()
		return float
	}
	return value
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
