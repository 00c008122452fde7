package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/drain"
	"provision/components/etcd"
	"provision/components/pki"
	"provision/components/removal"
)

// Leaving are the machines that the cluster has and the file does not name any
// more: workers first, then masters.
func Leaving(c components.Cluster, found components.ClusterFacts) []components.MachineSpec {
	var leaving []components.MachineSpec
	for _, member := range found.Inventory {
		if !slices.ContainsFunc(c.Machines, func(m components.MachineSpec) bool { return m.Name == member.Name }) {
			leaving = append(leaving, components.MachineSpec{Name: member.Name, Role: member.Role, Address: member.Address, Login: member.Login, HostKey: member.HostKey})
		}
	}
	slices.SortFunc(leaving, func(a, b components.MachineSpec) int {
		return cmp.Or(-cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name))
	})
	return leaving
}

func (w world) leaving() []components.MachineSpec { return Leaving(w.Cluster, w.facts.Cluster) }

func (w world) answered(m components.MachineSpec) bool {
	_, answered := w.facts.Machines[m.Name]
	return answered
}

// leavingAgents are those that take a leaving machine's things away.
func leavingAgents(w world) []Stage {
	stage := Stage{Name: "agents of leaving machines"}
	for _, m := range w.leaving() {
		if w.answered(m) && touched(w.facts.Machines[m.Name]) && !w.facts.Machines[m.Name].Agents[w.Agent()] {
			stage.add(Job{m.Name, []components.Action{actions.UploadAgent{Path: w.Agent(), Sum: w.Bundle.Files["bin/agent"]}}})
		}
	}
	return []Stage{stage}
}

// dead takes masters that left the file, and do not answer, out of etcd before any
// other joins: their votes only make a quorum harder to have.
func dead(w world) []Stage { return w.leaveEtcd(false) }

// leaveEtcd has leaving masters' members removed, one at a time.
func (w world) leaveEtcd(answering bool) []Stage {
	view := etcd.Look(w.Cluster, w.facts.Machines)
	var stages []Stage
	for _, m := range w.leaving() {
		if _, known := view.Member(m); known && w.answered(m) == answering {
			stages = append(stages, Stage{Name: m.Name + " leaves etcd", Jobs: []Job{{view.Via(), []components.Action{view.Leave(m)}}}})
		}
	}
	return stages
}

// farewell takes the leaving machines out of the cluster that stands without them:
// emptied of pods, out of etcd, cleaned, and at last forgotten, so that a run that is
// killed in between still knows what is left to do.
func farewell(w world) []Stage {
	// Whoever could not be cleaned is not forgotten: its things are there, and run.
	drains, clean, forget := Job{Machine: w.spokesman()}, Stage{Name: "clean", Careful: true}, Job{Machine: w.spokesman()}
	for _, m := range w.leaving() {
		if w.answered(m) {
			// The pods of one that is not Ready would never be seen to end; cleaning ends them.
			if w.facts.Cluster.Nodes[m.Name].Ready {
				drains.Actions = append(drains.Actions, drain.Drain{Node: m.Name})
			}
			if touched(w.facts.Machines[m.Name]) {
				clean.add(Job{m.Name, []components.Action{removal.Remove{Agent: w.Agent()}}})
			}
		}
		forget.Actions = append(forget.Actions, addons.Forget{Machine: m.Name, Silent: !w.answered(m), Blank: w.answered(m) && !touched(w.facts.Machines[m.Name])})
	}
	empty, forgotten := Stage{Name: "drain"}, Stage{Name: "forget"}
	empty.add(drains)
	forgotten.add(forget)
	return slices.Concat([]Stage{empty}, w.leaveEtcd(true), []Stage{clean, forgotten})
}

// checkLeaving returns what stands in the way of machines that left the file.
func checkLeaving(c components.Cluster, found Facts) []Problem {
	w := world{Cluster: c, facts: found}
	var problems []Problem
	say := func(m components.MachineSpec, text string, args ...any) {
		problems = append(problems, Problem{m.Name, fmt.Sprintf(text, args...)})
	}
	var masters []components.MachineSpec
	for _, m := range w.leaving() {
		if m.Role == components.Master {
			masters = append(masters, m)
		}
		if i := slices.IndexFunc(c.Machines, func(other components.MachineSpec) bool { return other.Address == m.Address }); i >= 0 {
			say(c.Machines[i], "has the address of %s, which the cluster has and the file does not: a machine keeps its name; put %s back, or take the machine out of the file, run `provision up`, and then give it its new name", m.Name, m.Name)
		}
		if !w.answered(m) && found.Cluster.Nodes[m.Name].Ready {
			say(m, "left the file, cannot be reached as the machine that it was, and its Node is Ready: its pods run there, and would run twice; make it answer, so that it is emptied and cleaned, or power it off")
		}
	}
	for _, member := range found.Cluster.Inventory {
		i := slices.IndexFunc(c.Machines, func(m components.MachineSpec) bool { return m.Name == member.Name })
		if i >= 0 && member.Role == components.Master && c.Machines[i].Role == components.Worker {
			say(c.Machines[i], "is a master, and the file says worker: take it out of the file, run `provision up`, and put it back as a worker")
		}
	}
	if len(masters) > 0 {
		for _, m := range c.Masters() {
			if !w.answered(m) {
				say(m, "does not answer, and %s is to leave etcd: while members come or go, every other master must answer; power it on, or take it out of the file as well", masters[0].Name)
			}
		}
	}
	return problems
}

// Impostor says why a machine that answers in the place of one that left the file cannot
// be that; "" where it can. What the inventory says of it, somebody may have written.
func Impostor(c components.Cluster, found Facts, m components.MachineSpec) string {
	f := found.Machines[m.Name]
	if !touched(f) {
		return ""
	}
	if f.Cluster != "" && f.Cluster != c.Name {
		return fmt.Sprintf("it is of the cluster %q now", f.Cluster)
	}
	if !slices.ContainsFunc(f.Addresses, func(p netip.Prefix) bool { return p.Addr() == m.Address }) {
		return fmt.Sprintf("another machine answers, which does not have the address %s", m.Address)
	}
	for name, other := range found.Machines {
		if name != m.Name && f.MachineID != "" && other.MachineID == f.MachineID {
			return "the machine that answers is " + name
		}
	}
	if leaf, has := f.Certificates["kubelet"]; has && leaf.CommonName != "system:node:"+m.Name {
		return fmt.Sprintf("another machine answers, which was set up as %.80q", leaf.CommonName)
	}
	const authority = components.PKI + "/" + pki.ClusterCA + ".crt"
	own := f.Files[authority].SHA256
	for _, master := range c.Masters() {
		if theirs := found.Machines[master.Name].Files[authority].SHA256; own != "" && theirs != "" && theirs != own {
			return "another machine answers, of another cluster of this name"
		}
	}
	return ""
}
