package templates

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"
)

// Flag is one flag of a component; Name has no dashes before it.
type Flag struct{ Name, Value string }

// lists are flags that a component takes several times, and adds up.
var lists = map[string]bool{"controllers": true, "enable-admission-plugins": true}

// withFlags gives a unit's process more flags: in the place of those that have the
// same name, else before the last one.
func withFlags(unit []byte, flags []Flag) []byte {
	for _, flag := range flags {
		lines := bytes.SplitAfter(unit, []byte("\n"))
		last, same := 0, -1
		for i, line := range lines {
			if bytes.HasPrefix(line, []byte("  --")) {
				last = i
			}
			if bytes.HasPrefix(line, []byte("  --"+flag.Name+"=")) {
				same = i
			}
		}
		text := []byte("  " + argument("--"+flag.Name+"="+flag.Value))
		switch {
		case same >= 0 && !lists[flag.Name]:
			if same < last {
				text = append(text, " \\"...)
			}
			lines[same] = append(text, '\n')
		default:
			lines[last] = append(append(text, " \\\n"...), lines[last]...)
		}
		unit = bytes.Join(lines, nil)
	}
	return unit
}

// argument writes one as systemd reads it: percent and dollar signs stand for
// themselves, and blanks and quotes do not end it.
func argument(text string) string {
	text = strings.NewReplacer("%", "%%", "$", "$$", `\`, `\\`, `"`, `\"`).Replace(text)
	if strings.ContainsAny(text, " '\"\\;") {
		return `"` + text + `"`
	}
	return text
}

// withSettings lays settings over a document, map by map. Without any it stays as
// it is, comments and all.
func withSettings(document []byte, settings map[string]any) []byte {
	if len(settings) == 0 {
		return document
	}
	var ours map[string]any
	if err := yaml.Unmarshal(document, &ours); err != nil {
		panic("templates: " + err.Error()) // it is our own, which goldens show
	}
	text, err := yaml.Marshal(layOver(settings, ours))
	if err != nil {
		panic(fmt.Sprintf("templates: %v in %v", err, settings)) // JSON's values always marshal
	}
	return append([]byte("# Ours, with the cluster file's settings laid over it.\n"), text...)
}

func layOver(settings, below map[string]any) map[string]any {
	all := maps.Clone(below)
	for name, value := range settings {
		inner, isMap := value.(map[string]any)
		under, wasMap := all[name].(map[string]any)
		if isMap && wasMap {
			value = layOver(inner, under)
		}
		all[name] = value
	}
	return all
}
