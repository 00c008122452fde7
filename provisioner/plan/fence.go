package plan

import (
	"errors"
	"fmt"
	"slices"

	"provision/components"
	"provision/components/etcd"
	"provision/components/fence"
)

// Fenced says why a machine is to be left as it is, or nil: its Node is marked
// out of service, or everything on it was stopped for that.
func Fenced(found Facts, name string) error {
	if !fence.Marked(found.Cluster.Nodes[name]) && !fence.Halted(found.Machines[name]) {
		return nil
	}
	return fmt.Errorf("it is fenced, out of service: nothing is started there until `provision fence FILE %s --undo`", name)
}

// RefuseFence says why a machine must not be fenced, or nil. dead is somebody's
// word that it is; without it the machine is stopped through SSH.
func RefuseFence(c components.Cluster, found Facts, name string, dead bool) error {
	node, there := found.Cluster.Nodes[name]
	f, answered := found.Machines[name]
	switch {
	case !found.Cluster.Reachable:
		return fmt.Errorf("%s cannot be marked out of service: the cluster does not answer: %s", name, found.Cluster.Problem)
	case !there:
		return fmt.Errorf("%s: the cluster has no Node of that name: nothing of it waits there", name)
	case dead && answered:
		return fmt.Errorf("%s answers SSH, so it is not dead: without --dead, what runs there is stopped, and seen to be", name)
	case !dead && answered && !f.Agents[c.Agent()]:
		return fmt.Errorf("%s: its agent is not the one of this bundle, and only that one can stop things and prove it: `provision up` comes first", name)
	case dead && node.Ready:
		return fmt.Errorf("%s: its Node is Ready: its kubelet runs and renews its Lease, and its pods run; a machine that has just died is not Ready any more within seconds", name)
	}
	return keepsQuorum(c, found, name)
}

// keepsQuorum says what etcd would lose with a master.
func keepsQuorum(c components.Cluster, found Facts, name string) error {
	if !slices.ContainsFunc(c.Masters(), func(m components.MachineSpec) bool { return m.Name == name }) {
		return nil
	}
	view := etcd.Look(c, found.Machines)
	voters, left := 0, 0
	for _, member := range view.Members {
		if !member.Learner {
			voters++
		}
	}
	for _, m := range c.Masters() {
		member, known := view.Member(m)
		if m.Name != name && known && !member.Learner && found.Machines[m.Name].Etcd.Leader != "" {
			left++
		}
	}
	if voters > 0 && left > voters/2 {
		return nil
	}
	return fmt.Errorf("%s is a master: without it %d of etcd's %d members would be left that serve, which is no quorum; the cluster would take no write, and nothing could move: bring another master back first", name, left, voters)
}

// Fence plans to mark a machine's Node out of service: after everything on it
// is stopped where it answers, else at once.
func Fence(c components.Cluster, found Facts, name string) Plan {
	w := world{Cluster: c, facts: found}
	if _, answered := found.Machines[name]; !answered {
		return fencing("fence", w.spokesman(), fence.Mark{Node: name, Via: w.serving(name)})
	}
	if fence.Halted(found.Machines[name]) && fence.Marked(found.Cluster.Nodes[name]) {
		return Plan{}
	}
	// In one job: an action that fails is followed by none.
	return fencing("fence", name, fence.Halt{Agent: c.Agent()}, fence.Mark{Node: name, Via: w.serving(name), Stopped: true})
}

// RefuseUnfence says why a machine cannot come back, or nil.
func RefuseUnfence(c components.Cluster, found Facts, name string) error {
	f, answered := found.Machines[name]
	switch {
	case !found.Cluster.Reachable:
		return fmt.Errorf("the mark of %s is in the cluster, which does not answer: %s", name, found.Cluster.Problem)
	case !answered:
		return errors.New(name + " has to answer SSH, so that what it ran before is seen to be gone")
	case !Untouched(f) && !f.Agents[c.Agent()]:
		return fmt.Errorf("%s: its agent is not the one of this bundle, and only that one can see that nothing of before runs: use the bundle that set it up", name)
	}
	return nil
}

// Unfence plans to take a machine back: what ran there when it was given up is
// ended first, whether or not anything came back by itself. A blank machine in
// its place has nothing to end, and `up` sets it up.
func Unfence(c components.Cluster, found Facts, name string) Plan {
	w := world{Cluster: c, facts: found}
	unmark := fence.Unmark{Node: name, Via: w.serving("")}
	switch {
	case Fenced(found, name) == nil:
		return Plan{}
	case Untouched(found.Machines[name]):
		return fencing("unfence", name, unmark)
	}
	return fencing("unfence", name, fence.Halt{Agent: c.Agent()}, fence.Resume{Agent: c.Agent()},
		fence.AwaitNode{Node: name, Via: w.serving("")}, unmark)
}

func fencing(what, machine string, actions ...components.Action) Plan {
	return Plan{Phases: []Phase{{Name: what, Stages: []Stage{{Name: what, Jobs: []Job{{Machine: machine, Actions: actions}}}}}}}
}

// serving are the masters that answered, but for that one.
func (w world) serving(but string) []string {
	var names []string
	for _, m := range w.Masters() {
		if _, answered := w.facts.Machines[m.Name]; answered && m.Name != but {
			names = append(names, m.Name)
		}
	}
	return names
}
