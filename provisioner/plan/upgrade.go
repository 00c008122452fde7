package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/components/drain"
	"provision/components/etcd"
	"provision/components/master"
	"provision/components/pki"
	"provision/components/runtime"
	"provision/components/upgrade"
	"provision/components/worker"
)

// How a cluster comes to another bundle, with nothing hurt that runs, and with a way
// back:
//
//   - every machine has the bundle before anything changes (the phase "machines");
//   - masters keep a snapshot of etcd;
//   - masters change one at a time, each from what it can go back to; where the minor
//     version is another, the new control plane behaves as the old one until all have
//     changed, so that nothing is stored that the old one could not read;
//   - the upgrade is finalised: control planes behave as what they are;
//   - kubelets follow, masters' one at a time, workers in batches, emptied before where
//     the minor version is another.

// versionOf is the version of Kubernetes that a bundle's id names.
func versionOf(id string) string {
	if i := strings.LastIndex(id, "-"); i > 0 {
		return id[:i]
	}
	return ""
}

// planeBundle is the id of the bundle of a master's API server, "" where it has none.
func planeBundle(f components.Facts) string { return f.Units[master.APIServer].Bundle }

// kubeletBundle is the id of the bundle of a machine's kubelet, "" where it has none.
func kubeletBundle(f components.Facts) string { return f.Units[actions.Service("kubelet")].Bundle }

// unsettled says that a step on the machine has not come to its end.
func unsettled(f components.Facts) bool {
	_, is := f.Files[upgrade.PreviousFile]
	return is
}

// changes says that a unit's bundle is to be another than it is.
func (w world) changes(id string) bool { return id != "" && id != w.Bundle.ID }

// behind says that a machine's kubelet runs of another bundle, or its step has not come
// to its end. Those have their turn after all masters.
func (w world) behind(f components.Facts) bool { return w.changes(kubeletBundle(f)) }

// late says that a machine has its turn after all masters: it is behind, or a worker
// whose step has not come to its end.
func (w world) late(m components.MachineSpec, f components.Facts) bool {
	return w.behind(f) || unsettled(f) && m.Role == components.Worker
}

// plane is a master's control plane. One that was finalised stays so while others are not.
func plane(w world, m components.MachineSpec, f components.Facts) []components.Action {
	c := w.Cluster
	if _, emulates := f.Files[upgrade.EmulateFile]; !emulates && planeBundle(f) == w.Bundle.ID {
		c.Emulate = ""
	}
	return master.Actions(c, m, f)
}

// emulate is the earlier minor version that control planes are to behave as: one of
// them is of it, or behaves as it already.
func (w world) emulate() string {
	before := fmt.Sprintf("1.%d", minor(w.Version)-1)
	for _, m := range w.Masters() {
		f := w.facts.Machines[m.Name]
		if id := planeBundle(f); id != "" && minor(versionOf(id)) == minor(w.Version)-1 ||
			f.Files[upgrade.EmulateFile].SHA256 == components.Sum(upgrade.Emulate(before)) {
			return before
		}
	}
	return ""
}

// snapshots are kept before the first master changes its version.
func snapshots(w world) []Stage {
	stage := Stage{Name: "snapshot", Careful: true}
	changing := false
	for _, m := range w.Masters() {
		f := w.facts.Machines[m.Name]
		if planeBundle(f) != "" && versionOf(planeBundle(f)) == w.Version {
			return nil // it has begun
		}
		changing = changing || w.changes(planeBundle(f))
		if f.Etcd.Leader != "" {
			stage.add(Job{m.Name, []components.Action{etcd.Snapshot{Node: w.BundleDir() + "/bin/node", Of: versionOf(planeBundle(f))}}})
		}
	}
	if !changing {
		return nil
	}
	return []Stage{stage}
}

// guarded makes a job one that can be taken back: files are kept before, and in the end
// it is seen whether what was restarted serves. bundle is the id of the one that what
// changes runs of.
func guarded(job Job, bundle string, settle upgrade.Settle) Job {
	keep := upgrade.Keep{Bundle: bundle}
	var first, done []components.Action
	last := components.Action(nil)
	for _, action := range job.Actions {
		switch a := action.(type) {
		case actions.File:
			keep.Files = append(keep.Files, a.Path)
		case actions.Remove:
			keep.Files = append(keep.Files, a.Path)
		case actions.Units:
			keep.Units = append(keep.Units, slices.Concat(a.Start, a.Restart)...)
		case actions.WaitAPI:
			continue // Settle waits, and longer
		case drain.Open:
			last = a
			continue
		case drain.Drain:
			first = append(first, a) // nothing is changed yet
			continue
		}
		done = append(done, action)
	}
	slices.Reverse(keep.Units) // as they are restarted: what depends on others first
	all := append(append(first, keep), done...)
	all = append(all, settle)
	if last != nil {
		all = append(all, last)
	}
	return Job{job.Machine, all}
}

// turn is a master's part of an upgrade.
func (w world) turn(m components.MachineSpec, job Job) Stage {
	return careful("upgrade", guarded(job, planeBundle(w.facts.Machines[m.Name]), upgrade.Settle{API: true}))
}

// finalise has the control planes behave as what they are, one at a time.
func finalise(w world) []Stage {
	var stages []Stage
	final := w.Cluster
	final.Emulate = ""
	for _, m := range w.Masters() {
		f, answered := w.facts.Machines[m.Name]
		if !answered {
			continue
		}
		f = after(f, plane(w, m, f))
		job := Job{m.Name, master.Actions(final, m, f)}
		if len(job.Actions) > 0 {
			stages = append(stages, careful("finalise", guarded(job, w.Bundle.ID, upgrade.Settle{API: true})))
		}
	}
	return stages
}

// after is what facts say of a machine once actions have been carried out.
func after(f components.Facts, done []components.Action) components.Facts {
	f.Files, f.Units = maps.Clone(f.Files), maps.Clone(f.Units)
	for _, action := range done {
		switch a := action.(type) {
		case actions.File:
			f.Files[a.Path] = components.FileFact{SHA256: components.Sum(a.Content), Mode: uint32(a.Mode)}
		case actions.Units:
			for _, unit := range slices.Concat(a.Start, a.Restart) {
				f.Units[unit] = components.UnitFact{Active: "active", Enabled: true, Bundle: f.Units[unit].Bundle}
			}
		}
	}
	return f
}

// followers are the kubelets of machines that are behind, and what else runs of a
// bundle on workers.
func followers(w world) []Stage {
	var stages []Stage
	var workers []Job
	for _, m := range w.Machines {
		f, answered := w.facts.Machines[m.Name]
		if !answered || !w.late(m, f) {
			if answered && w.facts.Cluster.Nodes[m.Name].Drained {
				workers = append(workers, Job{m.Name, []components.Action{drain.Open{Node: m.Name}}})
			}
			continue
		}
		settle := upgrade.Settle{Node: m.Name, Version: w.Version}
		if m.Role == components.Master {
			job := w.job(m, kubelet, everywhere(runtime.Later))
			stages = append(stages, careful("kubelet", guarded(job, kubeletBundle(f), settle)))
			continue
		}
		job := w.job(m, everywhere(pki.Trust), everywhere(worker.Network), everywhere(runtime.Actions), kubelet, everywhere(runtime.Later))
		if w.empties(m, f) {
			job.Actions = slices.Concat([]components.Action{drain.Drain{Node: m.Name, Spares: true}}, job.Actions, []components.Action{drain.Open{Node: m.Name}})
		}
		workers = append(workers, guarded(job, kubeletBundle(f), settle))
	}
	return append(stages, w.batches("upgrade", workers)...)
}

// empties says that a worker is emptied before its kubelet changes: upstream wants that
// where the minor version is another. Where no other worker could take its pods, they
// stay and run on: a kubelet's restart does not end them.
func (w world) empties(m components.MachineSpec, f components.Facts) bool {
	if w.facts.Cluster.Nodes[m.Name].Drained {
		return true // a killed run has begun
	}
	if minor(versionOf(kubeletBundle(f))) == minor(w.Version) {
		return false
	}
	return slices.ContainsFunc(w.Machines, func(other components.MachineSpec) bool {
		// Without the API it is not known which Nodes are Ready: it is once this has its turn.
		ready := w.facts.Cluster.Nodes[other.Name].Ready || !w.facts.Cluster.Reachable
		return other.Name != m.Name && ready && !slices.ContainsFunc(other.NodeTaints(), keepsAway)
	})
}

func keepsAway(t components.Taint) bool { return t.Effect == "NoSchedule" || t.Effect == "NoExecute" }
