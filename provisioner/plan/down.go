package plan

import (
	"maps"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/components/removal"
)

// Down plans to take everything away from every machine that answered and has
// anything of ours: workers first, so that the masters, which keep the lock,
// go last. As long as there is anything, the masters get an agent to keep the
// lock with, and are cleared of it: an earlier try may have left a worker out. told gets each machine's report.
func Down(c components.Cluster, found Facts, told func(machine string, report removal.Report)) Plan {
	var agents, workers, masters []Job
	if !slices.ContainsFunc(slices.Collect(maps.Values(found.Machines)), touched) {
		return Plan{}
	}
	for _, m := range c.Machines {
		f, ok := found.Machines[m.Name]
		if !ok || m.Role == components.Worker && !touched(f) {
			continue
		}
		if !f.Agents[c.Agent()] {
			upload := actions.UploadAgent{Path: c.Agent(), Sum: c.Bundle.Files["bin/agent"]}
			agents = append(agents, Job{Machine: m.Name, Actions: []components.Action{upload}})
		}
		job := Job{Machine: m.Name, Actions: []components.Action{removal.Remove{Agent: c.Agent(), Told: told}}}
		if m.Role == components.Master {
			masters = append(masters, job)
		} else {
			workers = append(workers, job)
		}
	}
	var p Plan
	if len(agents) > 0 {
		p.Phases = append(p.Phases, Phase{Name: "agent", Stages: []Stage{{Name: "agent", Jobs: agents}}})
	}
	var stages []Stage
	for _, stage := range []Stage{{Name: "workers", Jobs: workers}, {Name: "masters", Jobs: masters}} {
		if len(stage.Jobs) > 0 {
			stages = append(stages, stage)
		}
	}
	if len(stages) > 0 {
		p.Phases = append(p.Phases, Phase{Name: "remove", Stages: stages})
	}
	return p
}

// touched says that something of ours is on the machine.
func touched(f components.Facts) bool {
	if len(f.Units) > 0 || len(f.Bundles) > 0 || len(f.Agents) > 0 || len(f.Traces) > 0 {
		return true
	}
	for name := range f.Files {
		if strings.HasPrefix(name, components.Etc+"/") || strings.HasPrefix(name, components.State+"/") || strings.Contains(name, "provision") {
			return true
		}
	}
	return false
}
