package plan

import (
	"slices"

	"provision/components"
	"provision/components/rotation"
)

// Rotate plans new keys for the overlay of the machines named, of all where none
// is, one after the other. Machines that did not answer are passed over: they
// keep their keys, and learn the others' from the API when they come back.
func Rotate(c components.Cluster, found Facts, names []string) Plan {
	var phase Phase
	for _, m := range c.Machines {
		if _, answered := found.Machines[m.Name]; !answered || len(names) > 0 && !slices.Contains(names, m.Name) {
			continue
		}
		var others []string
		for _, other := range c.Machines {
			if _, answered := found.Machines[other.Name]; answered && other.Name != m.Name {
				others = append(others, other.Name)
			}
		}
		job := Job{Machine: m.Name, Actions: rotation.Actions(c.Agent(), others)}
		phase.Stages = append(phase.Stages, Stage{Name: "rotate " + m.Name, Jobs: []Job{job}})
	}
	if len(phase.Stages) == 0 {
		return Plan{}
	}
	phase.Name = "rotate"
	return Plan{Phases: []Phase{phase}}
}
