package plan

import (
	"slices"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/base"
	"provision/components/pki"
	"provision/components/renewal"
	"provision/components/runtime"
	"provision/components/worker"
	"provision/provisioner/facts"
)

// Questions is what facts must be asked for so that Make can decide.
func Questions(c components.Cluster) facts.Questions {
	return facts.Questions{Sysctls: base.Sysctls(c), Modules: base.Modules(), Files: slices.Concat(base.Paths(), runtime.Paths(c))}
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

// inTurn is a stage whose restarts have stages of their own after it.
func inTurn(name string, of ...part) stages {
	return func(w world) []Stage { return w.inTurn(Stage{Name: name, Jobs: w.jobs(of)}) }
}

// contents is the table of contents of every run, from bare machines to a
// serving cluster. Stages are barriers; what a later one needs is in an earlier.
// Those of an upgrade follow (finalise, followers), then the wait for what was made
// (settle), the user's own addons, which need a cluster that works, what takes machines
// away that the file does not name any more (farewell), and what goes of bundles of before
// (prune).
var contents = []struct {
	phase  string
	stages []stages
}{
	{"agent", []stages{
		at("agent", agent),
		leavingAgents,
	}},
	{"machines", []stages{
		at("authorities", authorities, makePresharedKey),
		at("machines", everywhere(base.Actions), secrets, copyAuthorities, identities, copyPresharedKey, bundle),
	}},
	{"cluster", []stages{
		enrol,
		dead,
		snapshots,
		controlPlane,
		at("access", once(access)),
		at("nodes", labels),
		at("renewal", everywhere(renewal.Actions)),
		inTurn("kubelets", kubelets, later, once(optional), once(late(inventory))),
	}},
}

// Make plans what is to be done. It is pure: now is only compared with the
// certificates' dates.
func Make(c components.Cluster, found Facts, now time.Time) Plan {
	p := Rest(c, found, now)
	if _, rest := p.split(bundlesPhase); len(rest) == 0 {
		return Plan{} // no reason for a run: whether pods still need an old bundle changes by itself
	}
	return p
}

// Rest plans what is left of a run that Make's plan began: the end of it as well, when
// all else is done.
func Rest(c components.Cluster, found Facts, now time.Time) Plan {
	w := survey(c, found, now)
	var p Plan
	for _, entry := range contents {
		p.add(entry.phase, w, entry.stages...)
	}
	if w.Emulate != "" {
		p.add("finalise", w, finalise)
	}
	p.add("kubelets", w, followers)
	p = w.settle(p)
	p.add("addons", w, at("images", everywhere(runtime.Archives)), at("addons", once(ownAddons)))
	p.add("leaving", w, farewell)
	p.add(bundlesPhase, w, at("old bundles", prune))
	return p
}

// survey is what there is, and what follows from it for every machine.
func survey(c components.Cluster, found Facts, now time.Time) world {
	w := world{Cluster: c, facts: found, now: now}
	w.Emulate = w.emulate()
	w.Trust = pki.Trusted(found.Machines[w.signer()])
	return w
}

// add adds a phase of what its stages have to do, if that is anything.
func (p *Plan) add(name string, w world, of ...stages) {
	phase := Phase{Name: name}
	for _, stages := range of {
		phase.Stages = append(phase.Stages, slices.DeleteFunc(stages(w), func(s Stage) bool { return len(s.Jobs) == 0 })...)
	}
	if len(phase.Stages) > 0 {
		p.Phases = append(p.Phases, phase)
	}
}

// settle ends a plan with the wait for what it made; a plan that is empty but
// for that is one for a cluster that is not well.
func (w world) settle(p Plan) Plan {
	ready, well := w.ready()
	if p.Empty() && well {
		return p
	}
	return Plan{Phases: append(p.Phases, Phase{Name: "ready", Stages: []Stage{ready}})}
}

// ready waits for every Node of a machine that answered, and for DNS. well: they were,
// when it was looked.
func (w world) ready() (stage Stage, well bool) {
	wait := addons.WaitReady{DNS: w.Addons.DNS}
	well = true
	for _, m := range w.Machines {
		if _, answered := w.facts.Machines[m.Name]; answered {
			wait.Nodes = append(wait.Nodes, m.Name)
			well = well && w.facts.Cluster.Nodes[m.Name].Ready
		}
	}
	return Stage{Name: "ready", Jobs: []Job{{w.spokesman(), []components.Action{wait}}}}, well
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

// spokesman is the master in whose name the API is told: the first that answered.
func (w world) spokesman() string {
	for _, m := range w.Masters() {
		if _, answered := w.facts.Machines[m.Name]; answered {
			return m.Name
		}
	}
	return w.Masters()[0].Name
}

// holder is the first master that has a secret, and in a new cluster the one on
// which it is to be born.
func (w world) holder(has func(components.Facts) bool) string {
	for _, m := range w.Masters() {
		if has(w.facts.Machines[m.Name]) {
			return m.Name
		}
	}
	return w.spokesman()
}

// signer is the master whose authorities sign.
func (w world) signer() string { return w.holder(pki.Complete) }

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
	if pki.Complete(f) || m.Name != w.signer() {
		return nil
	}
	return []components.Action{pki.Init{Agent: w.Agent()}}
}

// copyAuthorities brings them to the other masters.
func copyAuthorities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if m.Role != components.Master || pki.Complete(f) || m.Name == w.signer() {
		return nil
	}
	return []components.Action{pki.CopyAuthorities{Agent: w.Agent(), From: w.signer()}}
}

// secrets are closed where somebody opened them.
func secrets(_ world, _ components.MachineSpec, f components.Facts) []components.Action {
	return pki.Modes(f)
}

// makePresharedKey makes the overlay's key where no master has one.
func makePresharedKey(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if !w.Overlay.PSK || hasPresharedKey(f) || m.Name != w.holder(hasPresharedKey) {
		return nil
	}
	return []components.Action{pki.MakePresharedKey{Agent: w.Agent()}}
}

// copyPresharedKey brings it to the others as it is: two machines with different
// ones do not hear each other.
func copyPresharedKey(w world, m components.MachineSpec, f components.Facts) []components.Action {
	from := w.holder(hasPresharedKey)
	have, there := f.Files[components.PresharedKey]
	if !w.Overlay.PSK || m.Name == from ||
		there && have.SHA256 == w.facts.Machines[from].Files[components.PresharedKey].SHA256 {
		return nil
	}
	return []components.Action{pki.CopyPresharedKey{From: from}}
}

func hasPresharedKey(f components.Facts) bool {
	_, there := f.Files[components.PresharedKey]
	return there
}

func identities(w world, m components.MachineSpec, f components.Facts) []components.Action {
	wanted := pki.Wanted(w.Cluster, m, f, w.facts.Machines[w.signer()], w.now)
	if len(wanted) == 0 {
		return nil
	}
	return []components.Action{pki.Issue{Agent: w.Agent(), Signer: w.signer(), Leaves: wanted}}
}

// access is what the API must know before kubelets come to it, and DNS.
func access(w world, m components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Access(w.Cluster, m, w.facts.Cluster)
}

// labels make the machine's Node, or correct it.
func labels(w world, m components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Nodes(w.Cluster, m, w.facts.Cluster)
}

// kubelets come to the API last; those of machines that are behind later still: see
// followers.
func kubelets(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if w.late(m, f) {
		return nil
	}
	return kubelet(w, m, f)
}

// later are images that the kubelet's start need not wait for.
func later(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if w.late(m, f) {
		return nil
	}
	return runtime.Later(w.Cluster, m, f)
}

// kubelet is that of a machine, whenever it has its turn.
func kubelet(w world, m components.MachineSpec, f components.Facts) []components.Action {
	if _, there := w.facts.Cluster.Nodes[m.Name]; !there && w.facts.Cluster.Reachable {
		f = worker.Forgotten(f)
	}
	return worker.Actions(w.Cluster, m, f)
}

// enrol notes machines before they get anything by which the cluster depends on them;
// in a new cluster there is no API to note them in, and inventory does it later.
func enrol(w world) []Stage {
	if !w.facts.Cluster.Reachable {
		return nil
	}
	return at("inventory", once(inventory))(w)
}

// inventory, in a new cluster, can wait until everything else is under way.
func inventory(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Inventory(w.Cluster, w.facts.Cluster)
}

// late is a part for a cluster whose API does not answer yet.
func late(of part) part {
	return func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		if w.facts.Cluster.Reachable {
			return nil
		}
		return of(w, m, f)
	}
}

// optional is metrics and storage, which nothing of ours waits for.
func optional(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Optional(w.Cluster, w.facts.Cluster)
}

// ownAddons are the user's.
func ownAddons(w world, _ components.MachineSpec, _ components.Facts) []components.Action {
	return addons.Own(w.Cluster, w.facts.Cluster)
}

// once is a part that needs doing on one master, whichever.
func once(of part) part {
	return func(w world, m components.MachineSpec, f components.Facts) []components.Action {
		if m.Name != w.spokesman() {
			return nil
		}
		return of(w, m, f)
	}
}
