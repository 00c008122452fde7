package actions

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"provision/components"
)

// Draft collects what a component wants of one machine, and keeps of it what
// is not there yet.
type Draft struct {
	of       string
	facts    components.Facts
	actions  []components.Action
	contents map[string][]byte // by path, also where nothing is to be written
	written  map[string]bool
	reads    map[string][]string // by unit: what its process reads when it starts
}

// NewDraft begins with nothing.
func NewDraft(component string, facts components.Facts) *Draft {
	return &Draft{of: component, facts: facts, contents: map[string][]byte{}, written: map[string]bool{}, reads: map[string][]string{}}
}

// Actions are what is left to do, in the order in which it was asked for.
func (d *Draft) Actions() []components.Action { return d.actions }

// Add adds an action as it is.
func (d *Draft) Add(action components.Action) { d.actions = append(d.actions, action) }

// File wants a file. folders are those above it that may not be there before us.
func (d *Draft) File(path string, mode fs.FileMode, content []byte, folders ...string) {
	d.contents[path] = content
	have, there := d.facts.Files[path]
	if there && have.SHA256 == components.Sum(content) && have.Mode == uint32(mode) {
		return
	}
	d.written[path] = true
	d.Add(File{Of: d.of, Path: path, Mode: mode, Content: content, Folders: folders})
}

// Known says what a file holds that another draft wants, for a unit that reads it.
func (d *Draft) Known(path string, content []byte) { d.contents[path] = content }

// Written says that a file was not there as wanted.
func (d *Draft) Written(path string) bool { return d.written[path] }

// Unit wants a unit file. Its content is asked for twice: without a sum, and
// with the sum of that and of the files that the process reads when it starts,
// which were drafted before. So a change of any of them changes the unit.
func (d *Draft) Unit(name string, content func(sum string) []byte, reads ...string) {
	all := content("")
	for _, path := range reads {
		text, drafted := d.contents[path]
		if !drafted {
			panic(fmt.Sprintf("%s reads %s, which was not drafted before it", name, path))
		}
		all = append(append(all, 0), text...)
	}
	d.reads[name] = reads
	d.File(UnitPath(name), 0o644, content(components.Sum(all)[:16]))
}

// misled says that a file which a unit's process reads when it starts holds something
// else than it should: whoever changed it may have had the process start with that.
func (d *Draft) misled(unit string) bool {
	return slices.ContainsFunc(d.reads[unit], func(path string) bool {
		have, there := d.facts.Files[path]
		return there && have.SHA256 != components.Sum(d.contents[path])
	})
}

// UnitPath is where a unit's file is.
func UnitPath(name string) string { return components.Units + "/" + name }

// Service is the full name of a component's unit.
func Service(component string) string { return components.UnitName + component + ".service" }

// Start wants units enabled and running with the files drafted for them. It is
// asked for after those. wait is Units.Wait.
func (d *Draft) Start(wait bool, units ...string) {
	action := Units{Of: d.of, Wait: wait}
	for _, unit := range units {
		have := d.facts.Units[unit]
		if !have.Enabled {
			action.Enable = append(action.Enable, unit)
		}
		switch {
		case !running(have):
			action.Start = append(action.Start, unit)
		case have.Stale || d.written[UnitPath(unit)] || d.misled(unit):
			action.Restart = append(action.Restart, unit)
		}
	}
	if len(action.Enable)+len(action.Start)+len(action.Restart) > 0 {
		d.Add(action)
	}
}

// Stop wants units neither running nor started at boot.
func (d *Draft) Stop(units ...string) {
	action := Disable{Of: d.of}
	for _, unit := range units {
		if have := d.facts.Units[unit]; have.Enabled || running(have) {
			action.Units = append(action.Units, unit)
		}
	}
	if len(action.Units) > 0 {
		d.Add(action)
	}
}

// Starts says that one of the units will be started or restarted.
func (d *Draft) Starts(units ...string) bool {
	return slices.ContainsFunc(d.actions, func(action components.Action) bool {
		start, ok := action.(Units)
		return ok && slices.ContainsFunc(units, func(unit string) bool {
			return slices.Contains(start.Start, unit) || slices.Contains(start.Restart, unit)
		})
	})
}

// running also holds for a unit that systemd is bringing up: it is on its way
// with the files that it has.
func running(unit components.UnitFact) bool {
	return slices.Contains([]string{"active", "activating", "reloading"}, strings.TrimSpace(unit.Active))
}
