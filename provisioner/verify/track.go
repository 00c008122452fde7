package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// sample is what the API said of a drill at one moment.
type sample struct {
	at        time.Time
	ready     map[string]bool   // Nodes that are Ready, by machine
	endpoints map[string]bool   // machines to whose pods the Service sends
	serving   map[string]string // names of the Ready pods → their machines
}

// sampleEvery is the pause between two samples.
const sampleEvery = 75 * time.Millisecond

// take asks the API for a sample.
func take(ctx context.Context, cluster Cluster, namespace string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s := sample{ready: map[string]bool{}, serving: map[string]string{}}
	var group errgroup.Group
	group.Go(func() error {
		nodes, err := readNodes(ctx, cluster)
		for name, n := range nodes {
			s.ready[name] = n.ready
		}
		return err
	})
	group.Go(func() error {
		pods, err := readPods(ctx, cluster, namespace)
		for _, p := range pods {
			if p.ready {
				s.serving[p.name] = p.node
			}
		}
		return err
	})
	group.Go(func() (err error) {
		s.endpoints, err = endpointsOn(ctx, cluster, namespace)
		return err
	})
	err := group.Wait()
	s.at = time.Now()
	return s, err
}

func endpointsOn(ctx context.Context, cluster Cluster, namespace string) (map[string]bool, error) {
	var list struct {
		Items []struct {
			Endpoints []struct {
				NodeName   string
				Conditions struct{ Ready *bool }
			}
		}
	}
	if err := get(ctx, cluster, "/apis/discovery.k8s.io/v1/namespaces/"+namespace+"/endpointslices", &list); err != nil {
		return nil, err
	}
	on := map[string]bool{}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				on[e.NodeName] = true
			}
		}
	}
	return on, nil
}

// Moment is one line of a drill's timeline.
type Moment struct {
	Seconds float64 `json:"seconds"` // after the harm began
	What    string  `json:"what"`
}

// tracker makes a timeline of samples. A time that is still 0 has not come.
type tracker struct {
	d     *drill
	begin time.Time // when the harm began
	tell  func(Moment)
	heir  *succession // who leads etcd next; nil: nobody has to
	life  *processes  // of what was killed; nil: nothing was

	notReady, endpointsGone, replaced, serving time.Duration
	led, processesBack                         time.Duration
	on, rejoined                               time.Duration   // the harm ended; all is as before
	wrongly                                    map[string]bool // machines not harmed that counted as lost
}

func newTracker(d *drill, tell func(Moment)) *tracker {
	t := &tracker{d: d, tell: tell, wrongly: map[string]bool{}}
	switch d.kind {
	case WorkerProcess:
		t.life = &processes{machine: d.victims[0], units: []string{"containerd", "kubelet"}}
	case EtcdLeader:
		t.life = &processes{machine: d.victims[0], units: []string{"etcd"}}
	}
	return t
}

func (t *tracker) moment(at time.Time, what string) time.Duration {
	after := max(at.Sub(t.begin), time.Nanosecond)
	t.tell(Moment{after.Seconds(), what})
	return after
}

// see takes a sample and the answers since the harm began.
func (t *tracker) see(s sample, answers []answer) {
	who, many := names(t.d.victims), ""
	if len(t.d.victims) > 1 {
		many = "s"
	}
	are := map[bool]string{true: "are", false: "is"}[many != ""]
	all := func(is func(machine string) bool) bool {
		return !slices.ContainsFunc(t.d.victims, func(m Machine) bool { return !is(m.Name) })
	}
	for _, m := range t.d.others {
		if !s.ready[m.Name] && !t.wrongly[m.Name] {
			t.wrongly[m.Name] = true
			t.moment(s.at, "Node "+m.Name+", which was not harmed, is not Ready any more")
		}
	}
	if t.notReady == 0 && t.on == 0 && all(func(m string) bool { return !s.ready[m] }) {
		t.notReady = t.moment(s.at, fmt.Sprintf("Node%s %s %s not Ready any more", many, who, are))
	}
	if t.d.kind.moves() {
		t.seeMove(s, answers, all, who)
	}
	if t.heir != nil && t.led == 0 {
		if name, at := t.heir.found(); name != "" {
			t.led = t.moment(at, "etcd is led by "+name)
		}
	}
	if t.on != 0 && t.rejoined == 0 && t.life == nil && all(func(m string) bool { return s.ready[m] }) {
		t.rejoined = t.moment(s.at, fmt.Sprintf("Node%s %s %s Ready again", many, who, are))
	}
}

// seeMove looks at what became of the victims' work.
func (t *tracker) seeMove(s sample, answers []answer, all func(func(string) bool) bool, who string) {
	elsewhere := map[string]bool{}
	for name, machine := range s.serving {
		if !t.d.isVictim(machine) {
			elsewhere[name] = true
		}
	}
	if t.endpointsGone == 0 && all(func(m string) bool { return !s.endpoints[m] }) {
		t.endpointsGone = t.moment(s.at, "the Service sends nothing to "+who+" any more")
	}
	if t.replaced == 0 && len(elsewhere) >= t.d.replicas {
		t.replaced = t.moment(s.at, fmt.Sprintf("%d replicas are Ready on other machines", len(elsewhere)))
	}
	if t.serving == 0 && t.replaced != 0 && t.endpointsGone != 0 {
		if at, answered := allAnswered(elsewhere, answers); answered {
			t.serving = t.moment(later(at, t.begin.Add(t.replaced)), "every replica has answered through the Service")
		}
	}
}

// madeUp says that the cluster has made up for the harm.
func (t *tracker) madeUp(ctx context.Context) bool {
	steady := !slices.ContainsFunc(t.d.ways, func(w *way) bool { return !w.steady(time.Second) })
	switch t.d.kind {
	case WorkerProcess:
		return t.alive(ctx) && steady
	case EtcdLeader:
		return t.led != 0 && t.alive(ctx) && steady
	case MasterPower:
		return t.led != 0 && t.notReady != 0 && steady
	case Partition:
		return t.led != 0 && t.notReady != 0 && t.serving != 0 && steady
	}
	return t.notReady != 0 && t.serving != 0
}

// alive looks whether what was killed is there again.
func (t *tracker) alive(ctx context.Context) bool {
	if t.processesBack == 0 && t.life.back(ctx, t.d.cluster) {
		t.processesBack = t.moment(time.Now(), strings.Join(t.life.units, " and ")+" on "+t.life.machine.Name+" run and answer again")
	}
	return t.processesBack != 0
}

// returned says that all is as before.
func (t *tracker) returned(ctx context.Context) bool {
	if t.life != nil {
		return t.alive(ctx)
	}
	return t.rejoined != 0
}

// allAnswered returns when the last of the pods answered first.
func allAnswered(pods map[string]bool, answers []answer) (last time.Time, all bool) {
	missing := len(pods)
	seen := map[string]bool{}
	for _, a := range answers {
		if pods[a.pod] && !seen[a.pod] {
			seen[a.pod] = true
			last = later(last, a.at)
			missing--
		}
	}
	return last, missing == 0
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
