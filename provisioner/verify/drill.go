package verify

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"provision/components"
)

//go:embed files/drill.yaml
var drillText string

var drillTemplate = template.Must(template.New("drill").Option("missingkey=error").Parse(drillText))

// Bounds of a drill.
const (
	steadyPatience = 30 * time.Second
	switchPatience = 2 * time.Minute // for a command that switches the power
	rejoinPatience = 3 * time.Minute
	// DefaultHold is how long a machine stays cut off, beyond detect and evict.
	// Where the controller manager may go with etcd's leader it is that long once
	// more: another has to wait for its lease, to start, and to count anew.
	DefaultHold = 15 * time.Second
)

// DrillOptions say what to do.
type DrillOptions struct {
	Options
	// Detect and Evict are the cluster's: goals follow from them.
	Detect, Evict time.Duration
	// Hold is how long the harm lasts at most: the machine's own switch undoes it
	// then. 0: Detect, Evict and DefaultHold together, and as long again where etcd's
	// leader is harmed.
	Hold time.Duration
	// Power switches machines, where that is not to be played by dropping their
	// packets. There is no switch on a machine that is off.
	Power Power
	// Patience bounds the wait for the replicas to serve again; 0 is 7 minutes,
	// which is more than upstream's defaults need, and no more than Hold.
	Patience time.Duration
	// API returns a client of that master's API server and no other.
	API func(ctx context.Context, master string) (Cluster, error)
	// Inside returns a client that asks from a machine, with the identity that lies
	// on a master: at its own balancer, as kubelet, kube-proxy and agents do, or as
	// pods do, at the Service "kubernetes".
	Inside func(ctx context.Context, machine, master string, asPods bool) (components.API, error)
	// Consent is asked before anything is harmed; an error of its ends the drill.
	Consent func(DrillPlan) error
	Tell    func(Moment) // told the timeline as it grows; may be nil
}

// DrillPlan is what a drill is about to do.
type DrillPlan struct {
	Kind     Kind
	Machines []string // who will be harmed
	Leader   bool     // the first of them leads etcd
	Replicas int      // of a Deployment of the drill's own
	There    int      // how many of them run on those machines
	Others   []string
	Observer string        // the master from where it is looked on
	Hold     time.Duration // after which the machine undoes it itself; 0: its power is switched, and nobody does
}

// Drill is what a drill measured.
type Drill struct {
	Name     string    `json:"drill"`
	Kind     Kind      `json:"kind,omitempty"`
	Machine  string    `json:"machine"`            // the first of Machines
	Machines []string  `json:"machines,omitempty"` // who was harmed
	Replicas int       `json:"replicas"`
	Passed   bool      `json:"passed"`
	Measures []Measure `json:"measures"`
	Timeline []Moment  `json:"timeline"`
	// Spans are what the timeline's picture is drawn from, lane by lane.
	Spans []Span `json:"spans,omitempty"`
	// Reason is why it did not pass.
	Reason string `json:"reason,omitempty"`
}

// Measure is one figure. Value is nil where what it measures did not happen.
type Measure struct {
	Name  string   `json:"name"`
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"` // "s", or what is counted: "requests", "writes", "machines"
	What  string   `json:"what"`
	// Goal is what Value should not be above; nil: none is set.
	Goal *float64 `json:"goal,omitempty"`
}

// RunDrill harms machines, measures until the cluster has made up for it, and
// undoes the harm, whatever happens in between: first of all it arms a switch on
// each of them that does so without us. Figures count from just before the harm
// is told to begin. A drill that the cluster would not survive, or a cluster
// that is not well, is a RefusedError.
func RunDrill(ctx context.Context, kind Kind, cluster Cluster, options DrillOptions) (result Drill, err error) {
	result = Drill{Name: kind.name(), Kind: kind}
	if options.Hold == 0 {
		options.Hold = options.Detect + options.Evict + DefaultHold
		if kind.leads() {
			options.Hold += DefaultHold
		}
	}
	if err := refuse(kind, options.Machines); err != nil {
		return result, err
	}
	d := &drill{kind: kind, cluster: cluster, options: options, namespace: "provision-verify-" + strings.ToLower(rand.Text()[:8])}
	leader, err := d.well(ctx)
	if err != nil {
		return result, err
	}
	if err := sweep(ctx, cluster); err != nil {
		return result, err
	}
	defer func() {
		err = errors.Join(err, removeNamespace(ctx, d.cluster, d.namespace, cleanPatience))
	}()
	if err := d.set(ctx, leader); err != nil {
		return result, err
	}
	for _, m := range d.victims {
		result.Machines = append(result.Machines, m.Name)
	}
	result.Machine, result.Replicas = result.Machines[0], d.replicas
	if options.Consent != nil {
		if err := options.Consent(d.plan()); err != nil {
			return result, err
		}
	}
	if err = d.run(ctx, &result); err != nil {
		result.Reason = err.Error()
	}
	return result, err
}

// drill is one under way.
type drill struct {
	kind      Kind
	cluster   Cluster // a client of a master that is not harmed
	options   DrillOptions
	namespace string
	replicas  int
	pods      []pod
	victims   []Machine
	others    []Machine
	observer  Machine // the master from where the client asks
	inside    Machine // at whose balancer another client asks the API
	target    string  // URL
	ways      []*way  // to the API, from those who are not cut off
	minority  *way    // of a partition; else nil
}

// set deploys the replicas, chooses the machines and the ways to the API.
func (d *drill) set(ctx context.Context, leader Machine) error {
	eligible := len(workers(d.options.Machines))
	onMasters := d.kind == TwoWorkers && eligible < 3
	if onMasters {
		eligible = len(d.options.Machines)
	}
	d.replicas = min(eligible, 5)
	s := &stage{cluster: d.cluster}
	if err := s.apply(ctx, drillTemplate, map[string]any{
		"Namespace": d.namespace, "Owner": owner(), "Image": d.options.Image, "Replicas": d.replicas, "Masters": onMasters,
	}); err != nil {
		return err
	}
	if err := d.waitReady(ctx); err != nil {
		return err
	}
	services, err := readServices(ctx, d.cluster, d.namespace)
	if err != nil {
		return err
	}
	d.target = urlOf(services["web"].address, 80, "/")
	if err := d.choose(leader); err != nil {
		return err
	}
	return d.connect(ctx)
}

// connect prepares the clients of the API.
func (d *drill) connect(ctx context.Context) error {
	if d.options.API == nil {
		return nil
	}
	outside, err := d.options.API(ctx, d.observer.Name)
	if err != nil {
		return err
	}
	d.cluster = outside
	inside, err := d.options.Inside(ctx, d.inside.Name, d.observer.Name, false)
	if err != nil {
		return err
	}
	pods, err := d.options.Inside(ctx, d.inside.Name, d.observer.Name, true)
	if err != nil {
		return err
	}
	for _, w := range []struct {
		name string
		api  components.API
	}{{"outside", outside}, {"inside", inside}, {"pods", pods}} {
		made, err := newWay(ctx, d.namespace, w.name, w.api)
		if err != nil {
			return err
		}
		d.ways = append(d.ways, made)
	}
	if d.kind == Partition {
		own, err := d.options.API(ctx, d.victims[0].Name)
		if err != nil {
			return err
		}
		if d.minority, err = newWay(ctx, d.namespace, "minority", own); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, setupPatience)
	defer cancel()
	for {
		pods, err := readPods(ctx, d.cluster, d.namespace)
		if err == nil {
			ready, why := 0, "none was made yet"
			for _, p := range pods {
				if p.ready {
					ready++
				} else {
					why = p.why
				}
			}
			if d.pods = pods; ready == d.replicas {
				return nil
			}
			err = fmt.Errorf("%d of %d replicas are Ready: %s", ready, d.replicas, why)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *drill) plan() DrillPlan {
	p := DrillPlan{Kind: d.kind, Leader: d.kind.leads(), Replicas: d.replicas, Observer: d.observer.Name}
	if !d.byPower() {
		p.Hold = d.options.Hold
	}
	for _, m := range d.victims {
		p.Machines = append(p.Machines, m.Name)
	}
	for _, m := range d.others {
		p.Others = append(p.Others, m.Name)
	}
	for _, pod := range d.pods {
		if d.isVictim(pod.node) {
			p.There++
		}
	}
	return p
}

// allWays are those to the API, the minority's too.
func (d *drill) allWays() []*way {
	if d.minority == nil {
		return d.ways
	}
	return append(d.ways[:len(d.ways):len(d.ways)], d.minority)
}

// byPower says that the machines' real power is switched.
func (d *drill) byPower() bool { return d.options.Power != nil && d.kind.power() }
