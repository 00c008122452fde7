package plan

import (
	"fmt"
	"slices"

	"provision/components"
	"provision/components/etcd"
	"provision/components/pki"
)

// mostMasters is what etcd's own documents advise at most.
const mostMasters = 7

// checkMasters returns what stands in the way of the masters' etcd. It is
// strict where members come or go: a mistake there loses the cluster's data.
func checkMasters(c components.Cluster, found Facts) []Problem {
	view := etcd.Look(c, found.Machines)
	var problems []Problem
	say := func(m components.MachineSpec, text string, args ...any) {
		problems = append(problems, Problem{m.Name, fmt.Sprintf(text, args...)})
	}
	masters := c.Masters()
	var silent, coming []components.MachineSpec
	for _, m := range masters {
		f, answered := found.Machines[m.Name]
		if !answered {
			silent = append(silent, m)
			continue
		}
		if view.Step(m) != etcd.Serve {
			coming = append(coming, m)
		}
		_, known := view.Member(m)
		switch {
		case f.Address.IsValid() && f.Address != m.Address && f.Cluster == c.Name && len(masters) == 1:
			say(m, "was set up with the address %s, and the file says %s: a cluster's only master keeps its address, by which its etcd and every other machine know it; put %s back, or add other masters first", f.Address, m.Address, f.Address)
		case f.Address.IsValid() && f.Address != m.Address && f.Cluster == c.Name:
			say(m, "was set up with the address %s, and the file says %s: members of etcd know each other by their addresses; take it out of the file, run `provision up`, and put it back with its new address", f.Address, m.Address)
		case view.Lost(m) && !view.Begun:
			say(m, "has lost etcd's data, which were in %s/etcd, and no other master has any: put them back, or take the cluster away with `provision down` and begin a new one", components.State)
		case f.Etcd.Cluster != "" && f.Etcd.Cluster != view.Cluster && view.Recovered:
			say(m, "runs the etcd from before the recovery, and %s the one that began with it: power it off, or stop what it runs and delete %s/etcd on it, and run again", view.Speaker, components.State)
		case f.Etcd.Cluster != "" && view.Cluster != "" && f.Etcd.Cluster != view.Cluster:
			say(m, "runs an etcd of another cluster (%.20q, and %s's is %.20q): take what is there away with `provision down` and that cluster's own file", f.Etcd.Cluster, view.Speaker, view.Cluster)
		case f.Etcd.Data && view.Speaker != "" && !known && f.Etcd.Cluster == "":
			say(m, "has data of an etcd that does not run, and the members on %s do not know it: it was removed, or is of an earlier cluster; delete %s/etcd on it, and run again", view.Speaker, components.State)
		}
	}
	known := slices.Concat(masters, Leaving(c, found.Cluster))
	for _, member := range view.Members {
		i := slices.IndexFunc(known, func(m components.MachineSpec) bool { return etcd.Peer(m) == member.Peer })
		if i >= 0 || len(coming) == 0 && member.Name == "" { // never started, and has no vote
			continue
		}
		if j := slices.IndexFunc(coming, func(m components.MachineSpec) bool { return m.Name == member.Name }); j >= 0 {
			say(coming[j], "is to join etcd, which has a member of that name at %.80q: give the machine another name, or put back the address that it had", member.Peer)
			continue
		}
		if len(coming) > 0 {
			say(coming[0], "is to join etcd, which has a member %.40q at %.80q that the file does not name: put that machine back into the file first", member.Name, member.Peer)
			continue
		}
		problems = append(problems, Problem{view.Speaker, fmt.Sprintf(
			"its etcd has a member %.40q at %.80q that is no master of the file: put that machine back as a master, run `provision up`, and then take it out", member.Name, member.Peer)})
	}
	if len(coming) == 0 {
		return problems
	}
	if n := len(masters); n > mostMasters {
		say(masters[n-1], "is one of %d masters: each write would wait for %d of them; give at most %d machines role = \"master\"", n, n/2+1, mostMasters)
	}
	for _, m := range silent {
		say(m, "does not answer, and %s: while members of etcd come or go, every master must answer; power it on, or take it out of the file", entering(coming))
	}
	return problems
}

func entering(coming []components.MachineSpec) string {
	if len(coming) == 1 {
		return coming[0].Name + " is to join etcd"
	}
	return fmt.Sprintf("%d masters are to join etcd", len(coming))
}

// orphans finds machines of a cluster whose authorities are on no master that
// answers: new ones would be made, and the old cluster would fall apart unseen.
func orphans(c components.Cluster, found Facts) []Problem {
	masters := c.Masters()
	first, answered := found.Machines[masters[0].Name]
	whole := slices.ContainsFunc(masters, func(m components.MachineSpec) bool { return pki.Complete(found.Machines[m.Name]) })
	if !answered || whole || holdsAuthority(first) {
		return nil
	}
	var problems []Problem
	for _, m := range c.Machines {
		if holdsAuthority(found.Machines[m.Name]) {
			problems = append(problems, Problem{m.Name, fmt.Sprintf(
				"belongs to a cluster whose secrets are not on %s, the file's first master; put the cluster's own first master first, or take the old cluster away with `provision down`", masters[0].Name)})
		}
	}
	return problems
}
