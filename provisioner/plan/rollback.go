package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision/components"
	"provision/components/etcd"
	"provision/components/master"
	"provision/components/upgrade"
)

// Begun says that there is a cluster: a master runs a control plane.
func Begun(c components.Cluster, found Facts) bool {
	return slices.ContainsFunc(c.Masters(), func(m components.MachineSpec) bool { return planeBundle(found.Machines[m.Name]) != "" })
}

// Starting says that a master's API server runs, or is about to.
func Starting(c components.Cluster, found Facts) bool {
	return slices.ContainsFunc(c.Masters(), func(m components.MachineSpec) bool {
		state := found.Machines[m.Name].Units[master.APIServer].Active
		return state == "active" || state == "activating"
	})
}

// UntilFinal is the part of a plan after which every master has changed its version,
// and all can still be taken back.
func UntilFinal(p Plan) Plan {
	end := slices.IndexFunc(p.Phases, func(phase Phase) bool { return phase.Name == "finalise" || phase.Name == "kubelets" })
	if end < 0 {
		return p
	}
	return Plan{Phases: p.Phases[:end]}
}

// Back is which bundle an upgrade came from.
type Back struct {
	Bundle, Version string // id, and version of Kubernetes
	Machine         string // a machine that has it
	Present         string // the version to leave
	// Finalised says that the way back is by a snapshot alone.
	Finalised bool
}

// WayBack finds where the last upgrade came from. The previous bundle stays on every
// machine.
func WayBack(c components.Cluster, found Facts) (Back, error) {
	var back Back
	// A control plane of the present version has data and behaves as what it is, so that the
	// earlier one may not be able to read them.
	final := false
	for _, m := range c.Machines {
		f := found.Machines[m.Name]
		for _, id := range []string{planeBundle(f), kubeletBundle(f)} {
			if v := versionOf(id); v != "" && newer(v, back.Present) {
				back.Present = v
			}
		}
	}
	none := true // no master has data: a rollback was broken off
	for _, m := range c.Masters() {
		f := found.Machines[m.Name]
		none = none && !f.Etcd.Data
		if f.Etcd.Data && versionOf(planeBundle(f)) == back.Present {
			_, emulates := f.Files[upgrade.EmulateFile]
			final = final || !emulates
		}
	}
	if back.Present == "" {
		return back, errors.New("no machine runs anything of a cluster: there is nothing to go back from")
	}
	again := ""
	for _, m := range c.Masters() {
		f := found.Machines[m.Name]
		for _, id := range f.Bundles {
			if versionOf(id) == back.Present && id != planeBundle(f) {
				again = id
			}
		}
		if id := earlier(back.Present, f.Bundles); newer(versionOf(id), back.Version) {
			back.Bundle, back.Version, back.Machine = id, versionOf(id), m.Name
		}
	}
	if back.Version == "" && again != "" {
		return back, fmt.Errorf("the bundle of before, %s, is of the same version: name the folder that has it with --bundles, and run `provision up`", again)
	}
	if back.Version == "" {
		return back, errors.New("no master has an earlier bundle: the cluster was not upgraded from another version")
	}
	// Where none of the present version has data, but others do, a killed run went back already.
	back.Finalised = (final || none) && minor(back.Version) < minor(back.Present)
	return back, nil
}

// newer says that a version of Kubernetes is later than another.
func newer(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) > 0 }

// numbers are those of "1.36.3".
func numbers(version string) []int {
	var all []int
	n, in := 0, false
	for _, c := range version + "." {
		switch {
		case c >= '0' && c <= '9':
			n, in = n*10+int(c-'0'), true
		case in:
			all, n, in = append(all, n), 0, false
		}
	}
	return all
}

// RollBack plans the way back of a finalised upgrade: the snapshot of before is seen to be
// whole, all control planes stop, etcd begins anew with it, and everything is as the
// cluster's older bundle has it.
func RollBack(c components.Cluster, found Facts, from Snapshot, now time.Time) Plan {
	folder := etcd.Kept(now)
	stop, aside := Stage{Name: "stop", Careful: true}, Stage{Name: "set aside", Careful: true}
	units := append([]string{etcd.Unit}, master.Interrupted()...)
	token := c.Name + "-" + folder
	if found.Machines[from.Machine].Files[etcd.RecoveredFile].SHA256 == components.Sum(etcd.Recovered(token)) {
		return Rest(c, found, now) // this run has done it
	}
	hypothetical := Facts{Machines: maps.Clone(found.Machines), Cluster: found.Cluster}
	for _, m := range c.Masters() {
		f, answered := found.Machines[m.Name]
		if !answered {
			continue
		}
		after := f
		after.Units, after.Files = maps.Clone(f.Units), maps.Clone(f.Files)
		delete(after.Files, etcd.EntryFile)
		stop.add(Job{m.Name, []components.Action{etcd.Stop{Units: units}}})
		for _, unit := range units {
			after.Units[unit] = components.UnitFact{Active: "inactive", Enabled: f.Units[unit].Enabled, Bundle: f.Units[unit].Bundle}
		}
		after.Etcd = components.EtcdFact{Data: m.Name == from.Machine}
		if m.Name != from.Machine && f.Etcd.Data {
			aside.add(Job{m.Name, []components.Action{etcd.SetAside{Node: c.BundleDir() + "/bin/node", Folder: folder}}})
		}
		hypothetical.Machines[m.Name] = after
	}
	hypothetical.Cluster = components.ClusterFacts{Nodes: found.Cluster.Nodes}
	back := Phase{Name: "back", Stages: []Stage{from.check(), stop}}
	if len(aside.Jobs) > 0 {
		back.Stages = append(back.Stages, aside)
	}
	begin := etcd.Recover{Node: c.BundleDir() + "/bin/node", Folder: folder, Token: token, Snapshot: from.path()}
	back.Stages = append(back.Stages, Stage{Name: "snapshot", Jobs: []Job{{from.Machine, []components.Action{begin}}}})
	head, rest := Rest(c, hypothetical, now).split("agent", "machines")
	return Plan{Phases: slices.Concat(head, []Phase{back}, rest)}
}
