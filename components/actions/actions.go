// Package actions holds the kinds of change that most components share: files,
// sysctls, modules, units, the bundle, waiting. Each is plain data with an Apply.
//
// What a component wants, and whether it is there already, is decided by the
// component's own package with a Draft; what a change was before is kept by
// provisioner/run, for everything that Touches names.
package actions

import (
	"encoding/json"
	"path"
	"strings"

	"provision/components"
)

// ours says that a path is in a folder, or a unit has a name, that only we use:
// there was nothing before us, and taking us away takes the whole folder.
func ours(name string) bool {
	for _, dir := range []string{components.Root, components.Etc, components.State, components.Run} {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return path.Dir(name) == components.Units && strings.HasPrefix(path.Base(name), components.UnitName)
}

// describe is how an action with content looks as JSON: what it is, not its bytes.
func describe(component, text string, fields map[string]any) ([]byte, error) {
	all := map[string]any{"component": component, "text": text}
	for name, value := range fields {
		all[name] = value
	}
	return json.Marshal(all)
}
