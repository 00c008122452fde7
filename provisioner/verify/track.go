package verify

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// sample is what the API said of a drill at one moment.
type sample struct {
	at       time.Time
	ready    bool            // the machine's Node is Ready
	endpoint bool            // the Service still sends to a pod of the machine
	serving  map[string]bool // names of the Ready pods on other machines
}

// sampleEvery is the pause between two samples.
const sampleEvery = 75 * time.Millisecond

// take asks the API for a sample.
func take(ctx context.Context, cluster Cluster, namespace, machine string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s := sample{serving: map[string]bool{}}
	var group errgroup.Group
	group.Go(func() error {
		var object nodeObject
		err := get(ctx, cluster, "/api/v1/nodes/"+machine, &object)
		s.ready = object.node().ready
		return err
	})
	group.Go(func() error {
		pods, err := readPods(ctx, cluster, namespace)
		for _, p := range pods {
			if p.ready && p.node != machine {
				s.serving[p.name] = true
			}
		}
		return err
	})
	group.Go(func() (err error) {
		s.endpoint, err = endpointOn(ctx, cluster, namespace, machine)
		return err
	})
	err := group.Wait()
	s.at = time.Now()
	return s, err
}

func endpointOn(ctx context.Context, cluster Cluster, namespace, machine string) (bool, error) {
	var list struct {
		Items []struct {
			Endpoints []struct {
				NodeName   string
				Conditions struct{ Ready *bool }
			}
		}
	}
	if err := get(ctx, cluster, "/apis/discovery.k8s.io/v1/namespaces/"+namespace+"/endpointslices", &list); err != nil {
		return false, err
	}
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.NodeName == machine && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Moment is one line of a drill's timeline.
type Moment struct {
	Seconds float64 `json:"seconds"` // after the power went
	What    string  `json:"what"`
}

// tracker makes a timeline of samples. A time that is still 0 has not come.
type tracker struct {
	begin    time.Time // when the power went
	machine  string
	replicas int
	tell     func(Moment)

	notReady, endpointsGone, replaced, serving time.Duration
	on, rejoined                               time.Duration // the power came back; the Node is Ready again
}

func (t *tracker) moment(at time.Time, what string) time.Duration {
	after := max(at.Sub(t.begin), time.Nanosecond)
	t.tell(Moment{after.Seconds(), what})
	return after
}

// see takes a sample and the answers since the power went.
func (t *tracker) see(s sample, answers []answer) {
	if t.notReady == 0 && !s.ready {
		t.notReady = t.moment(s.at, "Node "+t.machine+" is not Ready any more")
	}
	if t.endpointsGone == 0 && !s.endpoint {
		t.endpointsGone = t.moment(s.at, "the Service sends nothing to "+t.machine+" any more")
	}
	if t.replaced == 0 && len(s.serving) >= t.replicas {
		t.replaced = t.moment(s.at, fmt.Sprintf("%d replicas are Ready on other machines", len(s.serving)))
	}
	if t.serving == 0 && t.replaced != 0 && t.endpointsGone != 0 {
		if at, all := allAnswered(s, answers); all {
			t.serving = t.moment(later(at, t.begin.Add(t.replaced)), "every replica has answered through the Service")
		}
	}
	if t.on != 0 && t.rejoined == 0 && s.ready {
		t.rejoined = t.moment(s.at, "Node "+t.machine+" is Ready again")
	}
}

// allAnswered returns when the last of the serving pods answered first.
func allAnswered(s sample, answers []answer) (last time.Time, all bool) {
	missing := len(s.serving)
	seen := map[string]bool{}
	for _, a := range answers {
		if s.serving[a.pod] && !seen[a.pod] {
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
