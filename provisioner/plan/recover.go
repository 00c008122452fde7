package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/etcd"
	"provision/components/master"
)

// Remains is what is left of an etcd whose quorum may be lost for good.
type Remains struct {
	Facts  Facts
	Stores map[string]etcd.Store // by master: of those that answer and have data
	Errors map[string]error      // of those whose data cannot be read
}

// Keepers are the masters that answer and were set up: they keep the lock, since
// no majority can be had.
func (r Remains) Keepers(c components.Cluster) []string {
	var names []string
	for _, m := range c.Masters() {
		if f, answered := r.Facts.Machines[m.Name]; answered && f.Agents[c.Agent()] {
			names = append(names, m.Name)
		}
	}
	return names
}

// Candidates are the masters whose data can be read, those with most first.
func (r Remains) Candidates(c components.Cluster) []string {
	var names []string
	for _, m := range c.Masters() {
		if _, has := r.Stores[m.Name]; has {
			names = append(names, m.Name)
		}
	}
	slices.SortStableFunc(names, func(a, b string) int {
		left, right := r.Stores[a], r.Stores[b]
		if left.Learner() != right.Learner() {
			if left.Learner() {
				return 1
			}
			return -1
		}
		return -left.Compare(right)
	})
	return names
}

// Forgotten are the members, but that on from, that a store knows: by name where
// they have one, else by URL.
func (r Remains) Forgotten(from string) []string {
	var names []string
	for _, member := range r.Stores[from].Members {
		switch {
		case member.ID == r.Stores[from].Member:
		case member.Name != "":
			names = append(names, member.Name)
		default:
			names = append(names, member.Peer)
		}
	}
	return names
}

// Needless says why nothing has to be recovered, or cannot be; nil where a quorum
// is gone and somebody has data.
func (r Remains) Needless(c components.Cluster) []Problem {
	var problems []Problem
	for _, m := range c.Masters() {
		f, answered := r.Facts.Machines[m.Name]
		switch {
		case !answered:
		case f.Etcd.Leader != "":
			return []Problem{{m.Name, "its etcd has a quorum, so nothing is to be recovered: `provision up` brings the other masters back"}}
		case f.Etcd.Data && !hasBundle(c, f):
			problems = append(problems, Problem{m.Name, fmt.Sprintf("has data, and was set up with another bundle (%s) than this one (%s): use that one", strings.Join(f.Bundles, ", "), c.Bundle.ID)})
		case r.Errors[m.Name] != nil && len(r.Stores) == 0:
			problems = append(problems, Problem{m.Name, r.Errors[m.Name].Error()})
		}
	}
	if name, neighbour := r.elsewhere(c); name != "" {
		return []Problem{{name, fmt.Sprintf("its neighbour %.40s, which this computer does not reach, serves with a quorum: nothing is to be recovered; let this computer reach it, and `provision up`", neighbour)}}
	}
	candidates := r.Candidates(c)
	if len(problems) > 0 {
		return problems
	}
	if len(candidates) == 0 {
		return []Problem{{"", "no master that answers has data of etcd: there is nothing to recover from"}}
	}
	voters := r.Stores[candidates[0]].Voters()
	var there []string
	for _, name := range candidates {
		if slices.Contains(voters, r.Stores[name].Member) {
			there = append(there, name)
		}
	}
	if len(there) > len(voters)/2 {
		return []Problem{{"", fmt.Sprintf("%s answer with their data, of %d members: enough for a quorum, so nothing is lost; `provision up` starts them together", strings.Join(there, ", "), len(voters))}}
	}
	return nil
}

// hasBundle says that a machine has the bundle's agent and programs.
func hasBundle(c components.Cluster, f components.Facts) bool {
	return f.Agents[c.Agent()] && slices.Contains(f.Bundles, c.Bundle.ID)
}

// elsewhere is a member that serves, and does not say so itself, and the master whose
// data name it; "" where there is none.
func (r Remains) elsewhere(c components.Cluster) (master, member string) {
	for _, name := range r.Candidates(c) {
		for _, member := range r.Stores[name].Members {
			if member.Serves && r.Facts.Machines[member.Name].Etcd.Leader == "" {
				return name, member.Name
			}
		}
	}
	return "", ""
}

// Choose says what is wrong with a choice of whose data to go on with; nil where
// it can be done.
func (r Remains) Choose(c components.Cluster, from string) []Problem {
	best := r.Candidates(c)[0]
	_, answered := r.Facts.Machines[from]
	store, has := r.Stores[from]
	switch {
	case from == "":
		return []Problem{{"", fmt.Sprintf("say whose data to go on with: `--from %s`, which has the most", best)}}
	case !answered:
		return []Problem{{from, fmt.Sprintf("does not answer; `--from %s` does, and has the most of those that do", best)}}
	case r.Errors[from] != nil:
		return []Problem{{from, fmt.Sprintf("its data cannot be read: %v; the most of what can be read has %s", r.Errors[from], best)}}
	case !has:
		return []Problem{{from, fmt.Sprintf("has no data of etcd; `--from %s` has the most", best)}}
	case store.Learner():
		return []Problem{{from, fmt.Sprintf("was no voter yet, and may have but a part of the data; `--from %s` has the most", best)}}
	}
	return nil
}

// Recover plans a new quorum of one, with the data of from's machine, or with its snapshot
// where it names one. The other masters that answer give up their data first: two clusters
// must not begin from the same ones.
func Recover(c components.Cluster, r Remains, from Snapshot, now time.Time) Plan {
	node, folder := c.BundleDir()+"/bin/node", etcd.Kept(now)
	stop, aside := Stage{Name: "stop"}, Stage{Name: "set aside"}
	units := append([]string{etcd.Unit}, master.Interrupted()...)
	for _, name := range r.Keepers(c) {
		f := r.Facts.Machines[name]
		there := slices.DeleteFunc(slices.Clone(units), func(unit string) bool { _, is := f.Units[unit]; return !is })
		if len(there) > 0 {
			stop.add(Job{name, []components.Action{etcd.Stop{Units: there}}})
		}
		if name != from.Machine && f.Etcd.Data {
			aside.add(Job{name, []components.Action{etcd.SetAside{Node: node, Folder: folder}}})
		}
	}
	recover := etcd.Recover{Node: node, Folder: folder, Token: c.Name + "-" + folder}
	check := Stage{}
	if from.Name != "" {
		recover.Snapshot, check = from.path(), from.check()
	}
	begin := Stage{Name: "new quorum", Jobs: []Job{{from.Machine, []components.Action{recover}}}}
	serve := Stage{Name: "control plane", Jobs: []Job{{from.Machine, []components.Action{
		actions.Units{Of: "units", Start: units}, master.Started(),
	}}}}
	stages := slices.DeleteFunc([]Stage{check, stop, aside, begin, serve}, func(s Stage) bool { return len(s.Jobs) == 0 })
	return Plan{Phases: []Phase{{Name: "recover", Stages: stages}}}
}
