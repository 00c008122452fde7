package plan

import (
	"slices"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/base"
	"provision/components/pki"
	"provision/components/runtime"
	"provision/components/worker"
	"provision/provisioner/facts"
)

// Questions is what facts must be asked for so that Make can decide.
func Questions(components.Cluster) facts.Questions {
	return facts.Questions{Sysctls: base.Sysctls(), Modules: base.Modules(), Files: slices.Concat(base.Paths(), runtime.Paths())}
}

// part plans one component's actions on one machine.
type part func(w world, m components.MachineSpec, f components.Facts) []components.Action

// world is what a part may look at besides its machine.
type world struct {
	components.Cluster
	facts Facts
	now   time.Time
}

// stages plans stages whose number and order depend on what was found.
type stages func(w world) []Stage

// at is one stage of that name, of these parts.
func at(name string, of ...part) stages {
	return func(w world) []Stage { return []Stage{{Name: name, Jobs: w.jobs(of)}} }
}

// contents is the table of contents of every run, from bare machines to a
// serving cluster. Stages are barriers; what a later one needs is in an earlier.
var contents = []struct {
	phase  string
	stages []stages
}{
	{"agent", []stages{
		at("agent", agent),
	}},
	{"machines", []stages{
		at("authorities", onFirst(authorities), onFirst(presharedKey)),
		at("machines", everywhere(base.Actions), onOthers(copyAuthorities), identities, onOthers(presharedKey), bundle),
	}},
	{"cluster", []stages{
		controlPlane,
		at("access", onFirst(access)),
		at("nodes", labels),
		at("kubelets", everywhere(worker.Actions), onFirst(inventory)),
	}},
}

// Make plans what is to be done. It is pure: now is only compared with the
// certificates' dates.
func Make(c components.Cluster, found Facts, now time.Time) Plan {
	w := world{Cluster: c, facts: found, now: now}
	var p Plan
	for _, entry := range contents {
		phase := Phase{Name: entry.phase}
		for _, stages := range entry.stages {
			phase.Stages = append(phase.Stages, slices.DeleteFunc(stages(w), func(s Stage) bool { return len(s.Jobs) == 0 })...)
		}
		if len(phase.Stages) > 0 {
			p.Phases = append(p.Phases, phase)
		}
	}
	return w.settle(p)
}

// settle ends a plan with the wait for what it made; a plan that is empty but
// for that is one for a cluster that is not well.
func (w world) settle(p Plan) Plan {
	wait := addons.WaitReady{}
	well := true
	for _, m := range w.Machines {
		if _, answered := w.facts.Machines[m.Name]; answered {
			wait.Nodes = append(wait.Nodes, m.Name)
			well = well && w.facts.Cluster.Nodes[m.Name].Ready
		}
	}
	if p.Empty() && well {
		return p
	}
	job := Job{Machine: w.first(), Actions: []components.Action{wait}}
	return Plan{Phases: append(p.Phases, Phase{Name: "ready", Stages: []Stage{{Name: "ready", Jobs: []Job{job}}}})}
}

// jobs gathers what the parts want of each machine that answered.
func (w world) jobs(of []part) []Job {
	var jobs []Job
	for _, m := range w.Machines {
		if job := w.job(m, of...); len(job.Actions) > 0 {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// job is what the parts want of one machine, nothing where it did not answer.
func (w world) job(m components.MachineSpec, of ...part) Job {
	job := Job{Machine: m.Name}
	if f, ok := w.facts.Machines[m.Name]; ok {
		for _, part := range of {
			job.Actions = append(job.Actions, part(w, m, f)...)
		}
		job.Actions = waitLast(together(job.Actions))
	}
	return job
}

// first is the master on which secrets are born and from which the API is told:
// the first that has the secrets, and in a new cluster the first of the file.
func (w world) first() string {
	answered := w.Masters()[0].Name
	for _, m := range slices.Backward(w.Masters()) {
		if _, ok := w.facts.Machines[m.Name]; ok {
			answered = m.Name
		}
	}
	for _, m := range w.Masters() {
		if pki.Complete(w.facts.Machines[m.Name]) {
			return m.Name
		}
	}
	return answered
}

// everywhere is a component that needs nothing but its machine.
func everywhere(actions func(components.Cluster, components.MachineSpec, components.Facts) []components.Action) part {
	return func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		return actions(w.Cluster, m, f)
	}
}

// agent is sent before all else: it keeps the lock and unpacks the rest.
func agent(w world, m components.MachineSpec, f components.Facts) []components.Action {
	return only(base.Bundle(w.Cluster, m, f), isAgent)
}

func bundle(w world, m components.MachineSpec, f components.Facts) []components.Action {
	return only(base.Bundle(w.Cluster, m, f), func(a components.Action) bool { return !isAgent(a) })
}

func isAgent(action components.Action) bool {
	_, is := action.(actions.UploadAgent)
	return is
}

func only(all []components.Action, keep func(components.Action) bool) []components.Action {
	return slices.DeleteFunc(all, func(a components.Action) bool { return !keep(a) })
}

// authorities are made where none are.
func authorities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if pki.Complete(f) {
		return nil
	}
	return []components.Action{pki.Init{Agent: w.Agent()}}
}

// copyAuthorities brings them to the other masters.
func copyAuthorities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || pki.Complete(f) {
		return nil
	}
	return []components.Action{pki.CopyAuthorities{Agent: w.Agent(), From: w.first()}}
}

// presharedKey is born where the authorities are, and goes to the others as it
// is: two machines with different ones do not hear each other.
func presharedKey(w world, m components.MachineSpec, f components.Facts) []components.Action {
	have, there := f.Files[components.PresharedKey]
	switch {
	case !w.Overlay.PSK:
	case m.Name == w.first():
		if !there {
			return []components.Action{pki.MakePresharedKey{Agent: w.Agent()}}
		}
	default:
		theirs := w.facts.Machines[w.first()].Files[components.PresharedKey].SHA256
		if !there || have.SHA256 != theirs || have.Mode != 0o600 {
			return []components.Action{pki.CopyPresharedKey{From: w.first()}}
		}
	}
	return nil
}

func identities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	wanted := pki.Wanted(w.Cluster, m, f, w.now)
	if len(wanted) == 0 {
		return nil
	}
	return []components.Action{pki.Issue{Agent: w.Agent(), Signer: w.first(), Leaves: wanted}}
}

// access is what the API must know before kubelets come to it, and DNS.
func access(w world, m components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Access(w.Cluster, m, w.facts.Cluster)
}

// labels make the machine's Node, or correct it.
func labels(w world, m components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Nodes(w.Cluster, m, w.facts.Cluster)
}

// inventory can wait until everything else is under way.
func inventory(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Actions(w.Cluster, w.facts.Cluster)
}

// onFirst and onOthers split a part between the machine where secrets are born
// and those that they go to.
func onFirst(of part) part {
	return func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		if m.Name != w.first() {
			return nil
		}
		return of(w, m, f)
	}
}

func onOthers(of part) part {
	return func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		if m.Name == w.first() {
			return nil
		}
		return of(w, m, f)
	}
}
