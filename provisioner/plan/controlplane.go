package plan

import (
	"slices"

	"provision/components"
	"provision/components/actions"
	"provision/components/etcd"
	"provision/components/master"
	"provision/components/pki"
	"provision/components/runtime"
	"provision/components/worker"
)

// controlPlane plans how the masters come to serve, so that a cluster that runs
// keeps its quorum and an API server throughout:
//
//   - what runs nowhere yet is started everywhere at once: members of etcd that
//     have data need each other to serve at all;
//   - masters without data join etcd, one after the other;
//   - their API servers start, against members that are voters by then;
//   - masters on which anything must be restarted have their turn, one at a time,
//     then workers in batches.
func controlPlane(w world) []Stage {
	view := etcd.Look(w.Cluster, w.facts.Machines)
	members := func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		return etcd.Actions(w.Cluster, m, f, view.Step(m))
	}
	trust, network, containers := everywhere(pki.Trust), everywhere(worker.Network), everywhere(runtime.Actions)

	begin, serve := Stage{Name: "control plane"}, Stage{Name: "control planes"}
	var joins, turns []Stage
	workers := Stage{}
	for _, m := range w.Machines {
		if m.Role == components.Master && view.Step(m) == etcd.Enter {
			begin.add(w.job(m, trust, members, network, containers))
			if _, answered := w.facts.Machines[m.Name]; answered {
				joins = append(joins, Stage{Name: m.Name + " joins etcd", Jobs: []Job{{m.Name, []components.Action{view.Join(m)}}}})
			}
			serve.add(w.job(m, plane))
			continue
		}
		f := w.facts.Machines[m.Name]
		if m.Role == components.Worker && w.late(m, f) {
			continue // see followers
		}
		job := w.job(m, trust, members, network, plane, containers)
		switch {
		case m.Role == components.Master && (w.changes(planeBundle(f)) || unsettled(f)):
			// One that is down interrupts nobody, and others may wait for its member.
			if turn := w.turn(m, job); f.Units[etcd.Unit].Active == "active" {
				turns = append(turns, turn)
			} else {
				begin.add(turn.Jobs[0])
			}
		case m.Role == components.Worker && len(restarts(job)) > 0 && !abrupt(job):
			workers.add(job)
		case m.Role == components.Master && len(w.Masters()) > 1 && len(restarts(job)) > 0 && (interrupts(job) || !abrupt(job)):
			// Its API server is ready only with its etcd: the next master waits for both.
			if interrupts(job) && !slices.Contains(job.Actions, master.Started()) {
				job.Actions = append(job.Actions, master.Started())
			}
			turns = append(turns, careful("restart", job))
		default:
			begin.add(job)
		}
	}
	return slices.Concat([]Stage{begin}, joins, []Stage{serve}, turns, w.batches("restart", workers.Jobs))
}

// add adds a job that has anything to do.
func (s *Stage) add(job Job) {
	if len(job.Actions) > 0 {
		s.Jobs = append(s.Jobs, job)
	}
}

// interrupts says that a master does not serve for a moment.
func interrupts(job Job) bool {
	return slices.ContainsFunc(job.Actions, func(action components.Action) bool {
		units, is := action.(actions.Units)
		return is && (slices.Contains(units.Restart, etcd.Unit) || slices.Contains(units.Restart, master.APIServer))
	})
}
