package plan

import (
	"fmt"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
)

// Restart is units that restart together, and on which machines: those of one batch
// side by side, one batch after the other.
type Restart struct {
	Units   []string   `json:"units"` // "kubelet"
	Batches [][]string `json:"batches"`
}

// Count is how many processes are restarted.
func (r Restart) Count() int { return len(r.Units) * len(slices.Concat(r.Batches...)) }

// Restarts are all of a plan, in order of their first machine.
func (p Plan) Restarts() []Restart {
	all := []Restart{}
	for _, phase := range p.Phases {
		for _, stage := range phase.Stages {
			batches := map[int]bool{} // of those in all that have one of this stage
			for _, job := range stage.Jobs {
				units := restarts(job)
				if len(units) == 0 {
					continue
				}
				at := slices.IndexFunc(all, func(r Restart) bool { return slices.Equal(r.Units, units) })
				if at < 0 {
					at, all = len(all), append(all, Restart{Units: units})
				}
				if !batches[at] {
					batches[at] = true
					all[at].Batches = append(all[at].Batches, nil)
				}
				last := len(all[at].Batches) - 1
				all[at].Batches[last] = append(all[at].Batches[last], job.Machine)
			}
		}
	}
	return all
}

// restarts are the units that a job restarts.
func restarts(job Job) []string {
	var units []string
	for _, action := range job.Actions {
		if a, is := action.(actions.Units); is {
			units = append(units, a.Restarts()...)
		}
	}
	return units
}

// inTurn takes the jobs that restart something out of a stage and has them happen
// after the rest: those of several masters one by one, those of workers in batches
// of what the file allows.
func (w world) inTurn(stage Stage) []Stage {
	rest := Stage{Name: stage.Name}
	var masters, workers []Job
	for _, job := range stage.Jobs {
		i := slices.IndexFunc(w.Machines, func(m components.MachineSpec) bool { return m.Name == job.Machine })
		switch {
		case len(restarts(job)) == 0 || abrupt(job):
			rest.add(job)
		case w.Machines[i].Role == components.Worker:
			workers = append(workers, job)
		case len(w.Masters()) > 1:
			masters = append(masters, job)
		default:
			rest.add(job)
		}
	}
	stages := []Stage{rest}
	for _, job := range masters {
		stages = append(stages, careful(stage.Name, job))
	}
	return append(stages, w.batches(stage.Name, workers)...)
}

// batches are stages of as many workers' jobs as may be interrupted at once.
func (w world) batches(what string, jobs []Job) []Stage {
	var stages []Stage
	for batch := range slices.Chunk(jobs, w.MaxUnavailable.Of(len(w.Machines)-len(w.Masters()))) {
		stages = append(stages, careful(what, batch...))
	}
	return stages
}

// mostNames is how many machines a stage's name tells.
const mostNames = 3

// careful is a stage, "kubelets of w1, w2", after which the run goes on only where it
// did well.
func careful(what string, jobs ...Job) Stage {
	var names []string
	for _, job := range jobs {
		names = append(names, job.Machine)
	}
	name := what + " of " + strings.Join(names[:min(len(names), mostNames)], ", ")
	if more := len(names) - mostNames; more > 0 {
		name += fmt.Sprintf(" and %d more", more)
	}
	return Stage{Name: name, Jobs: jobs, Careful: true}
}

// abrupt says that machines which have done a job do not hear those that have not:
// it is best over quickly. A file's note tells of it.
func abrupt(job Job) bool {
	return slices.ContainsFunc(job.Actions, func(action components.Action) bool {
		file, is := action.(actions.File)
		return is && file.Note != ""
	})
}
