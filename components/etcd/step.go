package etcd

import (
	"slices"

	"provision/components"
)

// Step is how a master comes to a running member.
type Step int

// The steps.
const (
	Serve Step = iota // it has its data: it is started
	Begin             // the first of a new cluster, with an empty store
	Enter             // it is to be added to the others'
)

// View is what is known of etcd's cluster from all masters' facts.
type View struct {
	Begun   bool                    // some master has data
	Cluster string                  // its id, as the member says that has a leader; "": none has
	Members []components.EtcdMember // as that member says
	Speaker string                  // that member's machine
	// Recovered says that it began anew after a quorum was lost for good: another
	// cluster that serves as well is the lost one, come back.
	Recovered bool

	c     components.Cluster
	facts map[string]components.Facts
}

// Look makes the view.
func Look(c components.Cluster, facts map[string]components.Facts) View {
	v := View{c: c, facts: facts}
	for _, m := range c.Masters() {
		f := facts[m.Name].Etcd
		v.Begun = v.Begun || f.Data
		recovered := recovered(facts[m.Name])
		if f.Leader != "" && (v.Speaker == "" || recovered && !v.Recovered) {
			v.Recovered = recovered
			v.Cluster, v.Members, v.Speaker = f.Cluster, f.Members, m.Name
		}
	}
	return v
}

func recovered(f components.Facts) bool {
	_, is := f.Files[RecoveredFile]
	return is
}

// Member returns the member with a master's peer URL, and whether there is one.
func (v View) Member(m components.MachineSpec) (components.EtcdMember, bool) {
	i := slices.IndexFunc(v.Members, func(member components.EtcdMember) bool { return member.Peer == Peer(m) })
	if i < 0 {
		return components.EtcdMember{}, false
	}
	return v.Members[i], true
}

// Step says how a master that answered comes to a running member.
func (v View) Step(m components.MachineSpec) Step {
	f := v.facts[m.Name]
	switch member, known := v.Member(m); {
	case f.Etcd.Data && !(known && member.Learner):
		return Serve
	case !v.Begun && m.Name == v.c.Masters()[0].Name:
		return Begin
	}
	return Enter
}

// Lost says that a master had a store, and has none any more.
func (v View) Lost(m components.MachineSpec) bool {
	f := v.facts[m.Name]
	_, begun := f.Files[BegunFile]
	_, entering := f.Files[EntryFile]
	return begun && !entering && !f.Etcd.Data
}

// Via is the master whose member a joining one asks: one that is known to
// serve, else the first that has data or begins.
func (v View) Via() string {
	if v.Speaker != "" {
		return v.Speaker
	}
	for _, m := range v.c.Masters() {
		if v.Step(m) != Enter {
			return m.Name
		}
	}
	return v.c.Masters()[0].Name
}

// Join is the action that brings a master in.
func (v View) Join(m components.MachineSpec) Join {
	member, known := v.Member(m)
	return Join{
		Name: m.Name, Peer: Peer(m), Via: v.Via(), Node: v.c.BundleDir() + "/bin/node",
		Replace: known && member.Name != "" && !v.facts[m.Name].Etcd.Data,
	}
}
