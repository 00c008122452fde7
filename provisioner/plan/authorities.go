package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/etcd"
	"provision/components/pki"
)

// How a cluster comes to other authorities, with its API reachable throughout. Folders on
// the masters say how far it has come (components/pki/trust.go), so that a run which was
// killed anywhere is gone on with by the next:
//
//   - one master makes the next authorities, the others get them;
//   - every machine trusts both, and what reads that only at its start is restarted;
//   - every master signs with the next ones, and every machine gets other certificates,
//     with new keys;
//   - kubelets, which keep that with which they serve until it ends, ask for another;
//   - the old ones are dropped everywhere, and what knows them is restarted.

// RotateKeys plans new keys and certificates for every machine that answered: masters one
// at a time. Nothing is restarted.
func RotateKeys(c components.Cluster, found Facts, now time.Time) Plan {
	w := survey(c, found, now)
	var stages []Stage
	var workers Stage
	for _, m := range w.Machines {
		job := w.job(m, newKeys(func(pki.Leaf) bool { return true }))
		switch {
		case len(job.Actions) == 0: // it did not answer
		case m.Role == components.Master:
			stages = append(stages, careful("keys", job))
		default:
			workers.add(job)
		}
	}
	if len(workers.Jobs) > 0 {
		stages = append(stages, careful("keys", workers.Jobs...))
	}
	ready, _ := w.ready()
	return Plan{Phases: []Phase{{Name: "keys", Stages: append(stages, ready)}}}
}

// newKeys issues those of a machine's certificates that due picks, with new keys.
func newKeys(due func(pki.Leaf) bool) part {
	return func(w world, m components.MachineSpec, _ components.Facts) []components.Action {
		leaves := slices.DeleteFunc(pki.Leaves(w.Cluster, m), func(l pki.Leaf) bool { return !due(l) })
		if len(leaves) == 0 {
			return nil
		}
		return []components.Action{pki.Issue{Agent: w.Agent(), Signer: w.signer(), Leaves: leaves, NewKeys: true}}
	}
}

// Rotating says that the authorities are being replaced, and that this has not come to
// its end.
func Rotating(c components.Cluster, found Facts) bool {
	return survey(c, found, time.Time{}).some(pki.HasNext, pki.HasPrevious, pki.HasRetired)
}

// some says that one of the masters has one of these.
func (w world) some(has ...func(components.Facts) bool) bool {
	for _, m := range w.Masters() {
		for _, is := range has {
			if is(w.facts.Machines[m.Name]) {
				return true
			}
		}
	}
	return false
}

// CheckRotation returns what stands in the way of new keys, or of replacing the
// authorities and of going on with that.
func CheckRotation(c components.Cluster, found Facts, authorities bool, now time.Time) []Problem {
	begun := authorities && Rotating(c, found)
	problems := preflight(c, found)
	if !begun {
		problems = append(problems, unfinished(c, found)...)
	}
	if len(problems) == 0 && !begun && !Make(c, found, now).Empty() {
		problems = []Problem{{c.Name, "is not as the file says: run `provision up` first, so that nothing else changes"}}
	}
	if len(problems) > 0 || !authorities {
		return problems
	}
	w := survey(c, found, now)
	for _, m := range c.Machines {
		f, answered := found.Machines[m.Name]
		switch {
		case answered && begun && (w.changes(planeBundle(f)) || w.changes(kubeletBundle(f))):
			problems = append(problems, Problem{m.Name, fmt.Sprintf("runs another bundle than %s, and the authorities are being replaced: finish that with the bundle that runs", c.Bundle.ID)})
		case answered && begun && !slices.Contains(f.Bundles, c.Bundle.ID):
			problems = append(problems, Problem{m.Name, "is new, or was set up anew, and the authorities are being replaced: take it out of the file until this is finished"})
		case !answered && !begun:
			problems = append(problems, Problem{m.Name, "does not answer, and would not know the next authorities: power it on, or take it out of the file"})
		case !answered && m.Role == components.Master:
			problems = append(problems, Problem{m.Name, "does not answer, and the authorities are being replaced: power it on, or take it out of the file"})
		case m.Role == components.Master && !w.some(pki.HasRetired) && w.some(signs) && !signs(f) && !pki.HasNext(f):
			problems = append(problems, Problem{m.Name, "has none of the authorities that the other masters have come to: take it out of the file until this is finished"})
		}
	}
	return problems
}

// divided finds masters with other authorities than those by which the cluster works:
// they were away while these were replaced, and what they sign nobody believes.
func divided(c components.Cluster, found Facts) []Problem {
	w := world{Cluster: c, facts: found}
	speaker := etcd.Look(c, found.Machines).Speaker
	lead := cmp.Or(speaker, w.signer())
	var problems []Problem
	for _, m := range w.Masters() {
		if f := found.Machines[m.Name]; !pki.Complete(f) || !pki.Complete(found.Machines[lead]) || akin(f, found.Machines[lead]) || akin(found.Machines[lead], f) {
			continue
		}
		text := fmt.Sprintf("has other authorities than %s, by which the cluster works: they were replaced while it was away; delete %s on it, and run again", lead, components.PKI)
		if speaker == "" {
			text = fmt.Sprintf("has other authorities than %s: they were replaced while one of the two was away, and which are the cluster's is known when etcd serves; power on every master, and run again", lead)
		}
		problems = append(problems, Problem{m.Name, text})
	}
	return problems
}

// akin says that two masters have the same authorities, or that the first has yet to come,
// or has come, to those of the second in a change that is under way.
func akin(a, b components.Facts) bool {
	for _, authority := range pki.Authorities {
		known := map[string]bool{}
		for _, folder := range []string{components.PKI, pki.NextDir, pki.PreviousDir} {
			known[b.Files[folder+"/"+authority+".crt"].SHA256] = true
		}
		if !known[pki.Sum(a, authority)] {
			return false
		}
	}
	return true
}

// RotateAuthorities plans how the authorities are replaced, or what is left of that. Where
// begin is not said, nothing is begun anew.
func RotateAuthorities(c components.Cluster, found Facts, begin bool, now time.Time) Plan {
	w := survey(c, found, now)
	dropping := w.some(pki.HasRetired)
	only := w.trusting(func(_, next string) components.Trust {
		trust := components.Trust{All: next, Settled: next}
		if dropping {
			trust.Signs = components.Sum([]byte(next))
		}
		return trust
	})
	var p Plan
	switch {
	case !begin && !Rotating(c, found):
		return w.settle(p)
	case dropping:
		// A machine that was off until now comes with what is believed nowhere any more.
		p.add("sign", only, at("identities", reissue))
	default:
		both := w.trusting(func(old, _ string) components.Trust { return components.Trust{Settled: old} })
		next := w.trusting(func(old, next string) components.Trust {
			return components.Trust{Settled: old, Signs: components.Sum([]byte(next))}
		})
		p.add("authorities", w, at("next", nextAuthorities), at("copies", copyNext))
		p.add("trust both", both, controlPlane)
		p.add("sign", next, at("sign", sign), at("identities", reissue), at("addons", once(learn)))
		p.add("kubelets", next, inTurn("kubelets", kubelets))
	}
	p.add("drop", only, at("retire", retire), controlPlane, inTurn("kubelets", kubelets), at("addons", once(tell)), at("forget", forget))
	return w.settle(p)
}

// trusting is a world in which machines trust what is said of each authority's old and
// next certificate, both where All is not said.
func (w world) trusting(of func(old, next string) components.Trust) world {
	w.Trust = map[string]components.Trust{}
	f := w.facts.Machines[w.signer()]
	for _, authority := range pki.Authorities {
		old, next := pki.PEM(f, "", authority), pki.PEM(f, "next", authority)
		previous := pki.PEM(f, "previous", authority)
		switch {
		case next != "": // it does not sign with that yet
		case previous != "":
			old, next = previous, old
		case w.some(pki.HasRetired):
			next = old
		default:
			next = "the next " + authority // is not made yet
		}
		trust := of(old, next)
		if trust.All == "" {
			trust.All = pki.Bundle(old, next)
		}
		w.Trust[authority] = trust
	}
	return w
}

// nextMaster is the master that makes the next authorities, or has begun to.
func (w world) nextMaster() string {
	for _, has := range []func(components.Facts) bool{pki.CompleteNext, pki.HasNext} {
		for _, m := range w.Masters() {
			if has(w.facts.Machines[m.Name]) {
				return m.Name
			}
		}
	}
	return w.signer()
}

// signs says that a master signs with the next authorities already.
func signs(f components.Facts) bool { return pki.HasPrevious(f) && !pki.HasNext(f) }

func nextAuthorities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Name != w.nextMaster() || pki.CompleteNext(f) || w.some(pki.HasPrevious) {
		return nil
	}
	return []components.Action{pki.Step{Agent: w.Agent(), Verb: pki.MakeNext}}
}

func copyNext(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || m.Name == w.nextMaster() || pki.CompleteNext(f) || w.some(pki.HasPrevious) {
		return nil
	}
	return []components.Action{pki.CopyAuthorities{Agent: w.Agent(), From: w.nextMaster(), Next: true}}
}

func sign(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || signs(f) {
		return nil
	}
	return []components.Action{pki.Step{Agent: w.Agent(), Verb: pki.Switch}}
}

// reissue issues what is not of the authorities that sign by then.
func reissue(w world, m components.MachineSpec, f components.Facts) []components.Action {
	return newKeys(func(leaf pki.Leaf) bool {
		return f.Certificates[leaf.Name].Authority != w.Trust[leaf.Authority].Signs
	})(w, m, f)
}

func retire(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || w.some(pki.HasRetired) && !pki.HasPrevious(f) {
		return nil
	}
	return []components.Action{pki.AwaitUse{}, pki.Step{Agent: w.Agent(), Verb: pki.Retire}}
}

func forget(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || w.some(pki.HasRetired) && !pki.HasPrevious(f) && !pki.HasRetired(f) {
		return nil
	}
	return []components.Action{pki.Forget{}}
}

// learn has those of our addons begin anew that would not know kubelets by the certificates
// which they come to serve with.
func learn(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	for _, master := range w.Masters() {
		if !signs(w.facts.Machines[master.Name]) {
			return addons.Readers(w.Cluster)
		}
	}
	return nil
}

// tell has API servers say anew whom extension servers are to trust, and those of our
// addons begin anew that would not forget the authority of before by themselves.
func tell(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	return append([]components.Action{addons.Republish{}}, addons.Readers(w.Cluster)...)
}
