// Package plan turns what is wanted (components.Cluster) and what there is
// (components.Facts of every machine, components.ClusterFacts) into what to do:
// phases of stages of jobs of actions, as plain data that prints. It is the one
// place where the components meet, and the table of contents of `up`; it
// changes nothing and asks nothing.
package plan

import (
	"slices"

	"provision/components"
)

// Plan is what one run will do, in order. A converged cluster's has no phases.
type Plan struct {
	Phases []Phase `json:"phases"`
}

// Phase is a part of the run after which the machines are looked at again and
// the rest is planned anew.
type Phase struct {
	Name   string  `json:"name"`
	Stages []Stage `json:"stages"`
}

// Stage is a barrier: its jobs run side by side, the next begins when all ended.
type Stage struct {
	Name string `json:"name"`
	Jobs []Job  `json:"jobs"`
	// Careful says that what fails on one machine ends the run: the stages after it
	// would do the same to others, and one machine fewer serves already.
	Careful bool `json:"careful,omitempty"`
}

// Job is one machine's part of a stage. An action that fails ends the job.
type Job struct {
	Machine string              `json:"machine"`
	Actions []components.Action `json:"actions"`
}

// Empty says that there is nothing to do.
func (p Plan) Empty() bool { return len(p.Phases) == 0 }

// Count returns the number of actions.
func (p Plan) Count() int {
	n := 0
	for action := range p.all() {
		_ = action
		n++
	}
	return n
}

// split parts the phases of those names from the rest.
func (p Plan) split(names ...string) (head, rest []Phase) {
	for _, phase := range p.Phases {
		if slices.Contains(names, phase.Name) {
			head = append(head, phase)
		} else {
			rest = append(rest, phase)
		}
	}
	return head, rest
}

// Machines returns the names of the machines that the plan changes, each once,
// in order of first appearance.
func (p Plan) Machines() []string {
	var names []string
	seen := map[string]bool{}
	for machine := range p.all() {
		if !seen[machine] {
			seen[machine] = true
			names = append(names, machine)
		}
	}
	return names
}

// all yields every action with its machine.
func (p Plan) all() func(yield func(string, components.Action) bool) {
	return func(yield func(string, components.Action) bool) {
		for _, phase := range p.Phases {
			for _, stage := range phase.Stages {
				for _, job := range stage.Jobs {
					for _, action := range job.Actions {
						if !yield(job.Machine, action) {
							return
						}
					}
				}
			}
		}
	}
}
