package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"provision/components"
	"provision/components/base"
	"provision/components/etcd"
	"provision/components/pki"
	"provision/components/restore"
)

// Backup is what a plan needs to know of one.
type Backup struct {
	ID         string
	Cluster    string
	Kubernetes string // version
	Network    components.Network
	Sums       map[string]string // SHA-256 (hex) of each of the authorities' files, by name in components.PKI
}

// restoring says that a restore has begun on a machine and is not finished.
func restoring(f components.Facts) bool {
	_, is := f.Files[restore.MarkFile]
	return is
}

// by says that the restore on a machine is of this backup.
func (b Backup) by(f components.Facts) bool {
	return f.Files[restore.MarkFile].SHA256 == components.Sum(restore.Mark(b.ID))
}

// restored is what the first master will be once the backup's parts are on it.
func (b Backup) restored(c components.Cluster, found Facts) Facts {
	first := c.Masters()[0]
	f, answered := found.Machines[first.Name]
	if !answered {
		return found
	}
	files := maps.Clone(f.Files)
	for name, sum := range b.Sums {
		files[components.PKI+"/"+name] = components.FileFact{SHA256: sum, Mode: 0o600}
	}
	f.Files, f.Etcd.Data = files, true
	f.Bundles = append(slices.Clone(f.Bundles), c.Bundle.ID)
	all := maps.Clone(found.Machines)
	all[first.Name] = f
	return Facts{Machines: all, Cluster: found.Cluster}
}

// CheckRestore returns every reason not to restore the backup: Preflight's, of the
// cluster as it will be, and those that are the backup's.
func CheckRestore(c components.Cluster, found Facts, b Backup) []Problem {
	var problems []Problem
	say := func(machine, text string, args ...any) {
		problems = append(problems, Problem{machine, fmt.Sprintf(text, args...)})
	}
	if b.Cluster != c.Name {
		say("", "the backup is of the cluster %q, and the file is of %q: name the cluster as it was", b.Cluster, c.Name)
	}
	if is, was := minor(c.Version), minor(b.Kubernetes); is < was || is > was+1 {
		say("", "the backup is of Kubernetes %s, and the bundle is of %s: restore with a bundle of the same minor version, or of the next", b.Kubernetes, c.Version)
	}
	if b.Network != c.Network {
		say("", "the backup's network is %s, and the file's is %s: Services and Nodes keep what they were given, so put back what the file said", network(b.Network), network(c.Network))
	}
	first := c.Masters()[0].Name
	for _, m := range c.Masters() {
		f, answered := found.Machines[m.Name]
		switch {
		case !answered: // whoever connected says so
		case m.Name == first && restoring(f) && !b.by(f):
			say(m.Name, "holds a restore of another backup that is not finished: restore that one, or take it away with `provision down` first")
		case m.Name == first && restoring(f):
		case !restoring(found.Machines[first]) && (f.Etcd.Data || f.Cluster != "" || holdsAuthority(f) || !blank(f)):
			say(m.Name, "has a cluster's things on it, and a restore wants blank masters: `provision down` takes them away, and what etcd holds with it; where a master still has good data, `provision recover` goes on with those")
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return preflight(c, b.restored(c, found))
}

func network(n components.Network) string {
	text := fmt.Sprintf("pods %s in /%d, services %s, domain %s", n.Pods, n.NodeMask, n.Services, n.Domain)
	if n.Dual() {
		text += fmt.Sprintf(", pods %s in /%d, services %s", n.Pods6, n.NodeMask6, n.Services6)
	}
	return text
}

// unfinished finds what was begun and must come to its end before anything else.
func unfinished(c components.Cluster, found Facts) []Problem {
	var problems []Problem
	for _, m := range c.Machines {
		if restoring(found.Machines[m.Name]) {
			problems = append(problems, Problem{m.Name, "holds a restore that is not finished: run `provision restore` with the same backup again, or take it away with `provision down`"})
		}
	}
	if Rotating(c, found) {
		problems = append(problems, Problem{c.Name, "has its authorities replaced, and that has not come to its end: run `provision certs rotate --ca` again, which goes on with it"})
	}
	return problems
}

// Restore plans a cluster from a backup: its secrets and etcd's data onto the first
// master, then what Make does with a master that has them, and in the end what the
// backup remembers of machines that are no more is forgotten.
func Restore(c components.Cluster, found Facts, b Backup, now time.Time) Plan {
	first := c.Masters()[0]
	f := found.Machines[first.Name]
	var stay []string
	for _, m := range c.Machines {
		stay = append(stay, m.Name)
	}
	// Nothing is asked of machines that only the backup knows.
	found.Cluster.Inventory = slices.DeleteFunc(slices.Clone(found.Cluster.Inventory), func(m components.Member) bool { return !slices.Contains(stay, m.Name) })
	var bring Phase
	if !(f.Etcd.Data && pki.Complete(f)) {
		actions := append([]components.Action{restore.Secrets{Agent: c.Agent(), ID: b.ID}}, only(base.Bundle(c, first, f), func(a components.Action) bool { return !isAgent(a) })...)
		actions = append(actions, restore.Data{
			Node: c.BundleDir() + "/bin/node", Name: first.Name, Peer: etcd.Peer(first), Token: c.Name + "-" + b.ID + "-" + etcd.Kept(now), // restored twice, they are two clusters
		})
		bring = Phase{Name: "restore", Stages: []Stage{{Name: "restore", Jobs: []Job{{first.Name, actions}}}}}
	}
	head, rest := Rest(c, b.restored(c, found), now).split("agent")
	conclude := Phase{Name: "conclude", Stages: []Stage{{Name: "conclude", Jobs: []Job{{first.Name, []components.Action{restore.Conclude{Machines: stay}}}}}}}
	if len(bring.Stages) > 0 {
		rest = slices.Insert(rest, 0, bring)
	}
	if len(bring.Stages) > 0 || restoring(f) {
		// Before the user's addons, which may wait for something that is not there yet.
		end := slices.IndexFunc(rest, func(p Phase) bool { return p.Name == "addons" })
		if end < 0 {
			end = len(rest)
		}
		rest = slices.Insert(rest, end, conclude)
	}
	return Plan{Phases: append(head, rest...)}
}
