package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is one of the drills.
type Kind string

// The drills, in the order of "all": from the smallest harm to the largest.
const (
	WorkerProcess Kind = "worker-process" // a worker's kubelet and containerd are killed
	WorkerPower   Kind = "worker"         // a worker falls silent
	TwoWorkers    Kind = "two-workers"    // two of them, at once
	EtcdLeader    Kind = "etcd-leader"    // the leader's etcd is killed
	MasterPower   Kind = "master"         // the master whose etcd leads falls silent
	Partition     Kind = "partition"      // it and a worker are cut off, together
)

// Kinds are all drills.
var Kinds = []Kind{WorkerProcess, WorkerPower, TwoWorkers, EtcdLeader, MasterPower, Partition}

// name is what a result is called by.
func (k Kind) name() string {
	return map[Kind]string{
		WorkerProcess: "worker's processes", WorkerPower: "worker power", TwoWorkers: "two workers' power",
		EtcdLeader: "etcd leader", MasterPower: "master power", Partition: "partition",
	}[k]
}

// power says that the machines fall silent as if their power were cut.
func (k Kind) power() bool { return k == WorkerPower || k == TwoWorkers || k == MasterPower }

// moves says that the drill waits until the work of the victims is done elsewhere.
func (k Kind) moves() bool { return k == WorkerPower || k == TwoWorkers || k == Partition }

// leads says that the master whose etcd leads is a victim.
func (k Kind) leads() bool { return k == EtcdLeader || k == MasterPower || k == Partition }

// takes is how many workers are victims.
func (k Kind) takes() int {
	switch k {
	case TwoWorkers:
		return 2
	case EtcdLeader, MasterPower:
		return 0
	}
	return 1
}

// RefusedError is a drill that this cluster would not survive, or whose outcome
// would say nothing. Nothing was harmed.
type RefusedError struct {
	Kind Kind
	Why  string
}

func (e RefusedError) Error() string { return e.Why }

// refuse says why a drill is not for this cluster, from its file alone.
func refuse(kind Kind, machines []Machine) error {
	all, voters := len(workers(machines)), len(masters(machines))
	no := func(format string, args ...any) error { return RefusedError{kind, fmt.Sprintf(format, args...)} }
	switch kind {
	case WorkerProcess:
		if all == 0 {
			return no("there is no worker whose processes could be killed")
		}
	case WorkerPower:
		if all < 2 {
			return no("a worker's loss needs another worker to take over, and there is none")
		}
	case TwoWorkers:
		if all < 2 || all+voters-2 < 1 {
			return no("there are no two workers to lose")
		}
	case EtcdLeader, MasterPower, Partition:
		left, quorum := voters-1, voters/2+1
		if voters == 1 {
			return no("there is one master: without it there is no API, and nobody who could take over")
		}
		if left < quorum {
			return no("of %d masters %d would be left, and etcd needs %d", voters, left, quorum)
		}
		if kind == Partition && all < 2 {
			return no("a partition takes a worker away, which needs another worker to take over, and there is none")
		}
	default:
		return fmt.Errorf("there is no drill %q", kind)
	}
	return nil
}

// well waits for a cluster in which nothing is wrong, and returns the master that
// leads etcd, where there are several. An earlier drill's last traces may pass.
func (d *drill) well(ctx context.Context) (leader Machine, err error) {
	var refused, asking error
	waited := until(ctx, steadyPatience, func() bool {
		leader, refused, asking = d.unwell(ctx)
		return refused == nil || asking != nil
	})
	if asking != nil {
		return leader, asking
	}
	if refused != nil {
		return leader, refused
	}
	return leader, waited
}

// unwell says what is wrong, once.
func (d *drill) unwell(ctx context.Context) (leader Machine, refused, err error) {
	var unwell []string
	for _, m := range d.options.Machines {
		if m.Dial == nil || m.Run == nil && d.options.Power == nil {
			unwell = append(unwell, m.Name+" cannot be reached")
		}
	}
	nodes, err := readNodes(ctx, d.cluster)
	if err != nil {
		return leader, nil, err
	}
	for _, m := range d.options.Machines {
		switch n, there := nodes[m.Name]; {
		case !there:
			unwell = append(unwell, m.Name+" is not in the cluster")
		case !n.ready:
			unwell = append(unwell, m.Name+"'s Node is not ready")
		}
	}
	if len(masters(d.options.Machines)) > 1 {
		if leader, err = leaderOf(ctx, d.options.Machines); err != nil {
			unwell = append(unwell, err.Error())
		}
	}
	if len(unwell) > 0 {
		refused = RefusedError{d.kind, "a drill begins with a cluster that is well: " + strings.Join(unwell, "; ")}
	}
	return leader, refused, nil
}

// choose takes the victims: the leader where the drill is about it, and the last
// workers with a replica but not all of them, or else with any. Then it takes
// from whom to look on.
func (d *drill) choose(leader Machine) error {
	if d.kind.leads() {
		d.victims = append(d.victims, leader)
	}
	there := map[string]int{}
	for _, p := range d.pods {
		there[p.node]++
	}
	candidates := slices.DeleteFunc(workers(d.options.Machines), func(m Machine) bool { return there[m.Name] == 0 })
	// Those with some replicas come last, and are taken first.
	slices.SortStableFunc(candidates, func(a, b Machine) int {
		whole := func(m Machine) int {
			if there[m.Name] == d.replicas {
				return 0
			}
			return 1
		}
		return whole(a) - whole(b)
	})
	if len(candidates) < d.kind.takes() {
		return errors.New("no replica runs on a worker")
	}
	d.victims = append(d.victims, candidates[len(candidates)-d.kind.takes():]...)
	for _, m := range d.options.Machines {
		if d.isVictim(m.Name) {
			continue
		}
		d.others = append(d.others, m)
	}
	left := masters(d.others)
	if len(left) == 0 {
		left = masters(d.options.Machines) // only its process will die
	}
	d.observer, d.inside = left[0], left[len(left)-1]
	if spared := workers(d.others); len(spared) > 0 {
		d.inside = spared[0]
	}
	return nil
}

func (d *drill) isVictim(name string) bool {
	return slices.ContainsFunc(d.victims, func(m Machine) bool { return m.Name == name })
}

// faults are what is done to the victims, where no power is switched.
func (d *drill) faults(ctx context.Context) ([]fault, error) {
	var faults []fault
	for i, m := range d.victims {
		switch d.kind {
		case WorkerProcess:
			faults = append(faults, killed(m, "containerd", "kubelet"))
			continue
		case EtcdLeader:
			faults = append(faults, killed(m, "etcd"))
			continue
		}
		nft, err := nftOf(ctx, m)
		if err != nil {
			return nil, err
		}
		var keeps []Machine
		var ssh []int
		if d.kind == Partition {
			keeps = slices.Delete(slices.Clone(d.victims), i, i+1)
			ssh = sshPorts(m)
		}
		faults = append(faults, cutOff(m, nft, keeps, ssh))
	}
	return faults, nil
}

// names of machines, as a sentence has them.
func names(machines []Machine) string {
	var all []string
	for _, m := range machines {
		all = append(all, m.Name)
	}
	return strings.Join(all, " and ")
}

// words are what a drill's timeline calls its harm and its end.
func (d *drill) words() (begin, end string) {
	who := names(d.victims)
	switch {
	case d.kind == WorkerProcess:
		return "kubelet and containerd on " + who + " are killed", "kubelet and containerd on " + who + " are told to start, if they have not"
	case d.kind == EtcdLeader:
		return "etcd on " + who + ", which leads, is killed", "etcd on " + who + " is told to start, if it has not"
	case d.kind == Partition:
		return who + " are cut off, together", who + " are let in again"
	}
	return "the power of " + who + " is cut", "the power of " + who + " is given back"
}
