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
)

// DrillOptions say what to do.
type DrillOptions struct {
	Options
	Power Power
	// Patience bounds the wait for the replicas to serve again; 0 is 7 minutes,
	// which is more than upstream's defaults need.
	Patience time.Duration
	// Consent is asked before the power goes; an error of its ends the drill,
	// with nothing harmed.
	Consent func(DrillPlan) error
	Tell    func(Moment) // told the timeline as it grows; may be nil
}

// DrillPlan is what a drill is about to do.
type DrillPlan struct {
	Machine  string // whose power will be cut
	Replicas int    // of a Deployment of the drill's own
	There    int    // how many of them run on that machine
	Others   []string
}

// Drill is what a drill measured.
type Drill struct {
	Name     string    `json:"drill"`
	Machine  string    `json:"machine"`
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
	Unit  string   `json:"unit"` // "s", or "requests"
	What  string   `json:"what"`
	// Goal is what Value should not be above; nil: none is set.
	Goal *float64 `json:"goal,omitempty"`
}

// WorkerPower cuts the power of a worker that serves, measures until other
// machines serve in its place, and gives the power back, whatever happens in
// between. Its figures count from just before the power is cut.
func WorkerPower(ctx context.Context, cluster Cluster, options DrillOptions) (result Drill, err error) {
	result = Drill{Name: "worker power"}
	if err := sweep(ctx, cluster); err != nil {
		return result, err
	}
	d := &drill{cluster: cluster, options: options, namespace: "provision-verify-" + strings.ToLower(rand.Text()[:8])}
	defer func() {
		err = errors.Join(err, removeNamespace(ctx, cluster, d.namespace, cleanPatience))
	}()
	if err := d.set(ctx); err != nil {
		return result, err
	}
	result.Machine, result.Replicas = d.victim.Name, d.replicas
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
	cluster   Cluster
	options   DrillOptions
	namespace string
	replicas  int
	pods      []pod
	victim    Machine
	observer  Machine // from where the client asks
	target    string  // URL
}

// set deploys the replicas and chooses the machine.
func (d *drill) set(ctx context.Context) error {
	workers := 0
	for _, m := range d.options.Machines {
		if m.Role == components.Worker {
			workers++
		}
	}
	if workers < 2 {
		return errors.New("a worker's loss needs another worker to take over, and there is none")
	}
	d.replicas = min(workers, 5)
	s := &stage{cluster: d.cluster}
	if err := s.apply(ctx, drillTemplate, map[string]any{
		"Namespace": d.namespace, "Owner": owner(), "Image": d.options.Image, "Replicas": d.replicas,
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
	return d.choose()
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

// choose takes the last worker with a replica but not all of them, or else with
// any, and a machine to observe from: a master, where one can be reached.
func (d *drill) choose() error {
	there := map[string]int{}
	for _, p := range d.pods {
		there[p.node]++
	}
	for _, m := range d.options.Machines {
		if m.Role != components.Worker || there[m.Name] == 0 {
			continue
		}
		if d.victim.Name == "" || there[m.Name] < d.replicas || there[d.victim.Name] == d.replicas {
			d.victim = m
		}
	}
	if d.victim.Name == "" {
		return errors.New("no replica runs on a worker")
	}
	for _, m := range d.options.Machines {
		if m.Name == d.victim.Name || m.Dial == nil {
			continue
		}
		if d.observer.Dial == nil || d.observer.Role != components.Master && m.Role == components.Master {
			d.observer = m
		}
	}
	if d.observer.Dial == nil {
		return errors.New("no other machine can be reached to observe from")
	}
	return nil
}

func (d *drill) plan() DrillPlan {
	p := DrillPlan{Machine: d.victim.Name, Replicas: d.replicas}
	for _, m := range d.options.Machines {
		if m.Name != d.victim.Name {
			p.Others = append(p.Others, m.Name)
		}
	}
	for _, pod := range d.pods {
		if pod.node == d.victim.Name {
			p.There++
		}
	}
	return p
}

// run cuts the power and measures.
func (d *drill) run(ctx context.Context, result *Drill) (err error) {
	client := ask(ctx, func(ctx context.Context) (string, error) {
		got, err := fetchGreeting(ctx, d.observer, d.target, askTimeout)
		return got.Pod, err
	})
	defer client.finish()
	if err := until(ctx, steadyPatience, func() bool { return client.steady(time.Second) }); err != nil {
		return fmt.Errorf("before anything was cut, requests to the Service from %s were not all answered: %w", d.observer.Name, err)
	}

	t := &tracker{begin: time.Now(), machine: d.victim.Name, replicas: d.replicas, tell: func(m Moment) {
		result.Timeline = append(result.Timeline, m)
		if d.options.Tell != nil {
			d.options.Tell(m)
		}
	}}
	off := true
	restore := func() error {
		if !off {
			return nil
		}
		off = false
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), switchPatience)
		defer cancel()
		t.on = t.moment(time.Now(), "the power of "+d.victim.Name+" is given back")
		if err := d.options.Power.On(ctx, d.victim.Name); err != nil {
			return fmt.Errorf("give %s its power back: %w", d.victim.Name, err)
		}
		return nil
	}
	defer func() { err = errors.Join(err, restore()) }()

	t.tell(Moment{0, "the power of " + d.victim.Name + " is cut"})
	cut, cancel := context.WithTimeout(ctx, switchPatience)
	err = d.options.Power.Off(cut, d.victim.Name)
	cancel()
	if err != nil {
		return err
	}
	patience := d.options.Patience
	if patience == 0 {
		patience = 7 * time.Minute
	}
	waited := d.watch(ctx, t, client, patience, func() bool { return t.serving != 0 && t.notReady != 0 })
	seen := look(client.since(t.begin), t.begin, time.Now())
	if err := errors.Join(context.Cause(ctx), restore()); err != nil {
		return errors.Join(waited, err)
	}
	back := d.watch(ctx, t, client, rejoinPatience, func() bool { return t.rejoined != 0 })
	over := time.Now()
	result.Spans = append(t.machineSpans(over), spansOf("Service, asked from "+d.observer.Name, client.since(t.begin), t.begin, over)...)
	result.Measures = t.measures(seen)
	result.Passed = waited == nil && back == nil
	return errors.Join(waited, back)
}

// watch samples until done says so.
func (d *drill) watch(ctx context.Context, t *tracker, client *requests, patience time.Duration, done func() bool) error {
	var last error
	err := until(ctx, patience, func() bool {
		s, err := take(ctx, d.cluster, d.namespace, d.victim.Name)
		if last = err; err == nil {
			t.see(s, client.since(t.begin))
		}
		return done()
	})
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w; reached: %s", d.victim.Name, err, t.reached()), last)
	}
	return nil
}

// until calls done again and again until it says true.
func until(ctx context.Context, patience time.Duration, done func() bool) error {
	timeout := time.After(patience)
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timeout:
			return fmt.Errorf("gave up after %v", patience)
		case <-time.After(sampleEvery):
		}
	}
	return nil
}
