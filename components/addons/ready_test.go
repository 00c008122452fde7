package addons_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
	"provision/components/addons"
	"provision/components/componentstest"
)

const deployment = "/apis/apps/v1/namespaces/kube-system/deployments/coredns"

// settled is a site whose API has two Nodes, w1 ready or not, and CoreDNS with
// that many replicas.
func settled(t *testing.T, w1 string, replicas string) *componentstest.Site {
	t.Helper()
	site := componentstest.NewSite(componentstest.Cluster("m1", "w1"))
	site.Cluster.Always = true
	for _, name := range []string{"m1", "w1"} {
		create(t, site, "/api/v1/nodes", `{"metadata":{"name":"`+name+`"}}`)
	}
	ready(t, site, "m1", "True")
	ready(t, site, "w1", w1)
	create(t, site, "/apis/apps/v1/namespaces/kube-system/deployments", `{"metadata":{"name":"coredns"},"status":{"availableReplicas":`+replicas+`}}`)
	return site
}

func create(t *testing.T, site *componentstest.Site, path, object string) {
	t.Helper()
	if _, err := site.Cluster.Do(t.Context(), "POST", path, "", []byte(object)); err != nil {
		t.Fatal(err)
	}
}

func ready(t *testing.T, site *componentstest.Site, name, status string) {
	t.Helper()
	// The condition before it must not be taken for it.
	patch := `{"status":{"conditions":[{"type":"MemoryPressure","status":"True"},{"type":"Ready","status":"` + status + `"}]}}`
	if _, err := site.Cluster.Do(t.Context(), "PATCH", "/api/v1/nodes/"+name+"/status", "", []byte(patch)); err != nil {
		t.Fatal(err)
	}
}

func TestWaitReadySaysWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		w1, replicas string
		nodes        []string
		want         string // "": it is ready
	}{
		"all":                       {"True", "2", []string{"m1", "w1"}, ""},
		"one replica serves":        {"True", "1", []string{"m1", "w1"}, ""},
		"node not ready":            {"False", "2", []string{"m1", "w1"}, "w1 not ready after"},
		"node unknown":              {"Unknown", "2", []string{"m1", "w1"}, "w1 not ready after"},
		"node that never came":      {"True", "2", []string{"m1", "w1", "w2"}, "w2 not ready after"},
		"somebody else's may be":    {"False", "2", []string{"m1"}, ""},
		"DNS":                       {"True", "0", []string{"m1", "w1"}, "DNS not ready after"},
		"nodes are said before DNS": {"False", "0", []string{"m1", "w1"}, "w1 not ready after"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				site := settled(t, c.w1, c.replicas)
				err := addons.WaitReady{Nodes: c.nodes, DNS: true}.Apply(t.Context(), site.Machines["m1"], site)
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
					t.Errorf("got %v, want %q", err, c.want)
				}
			})
		})
	}
}

func TestWaitReadyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := settled(t, "False", "1")
		done := make(chan error, 1)
		go func() { done <- addons.WaitReady{Nodes: []string{"m1", "w1"}, DNS: true}.Apply(t.Context(), nil, site) }()
		time.Sleep(time.Minute)
		select {
		case err := <-done:
			t.Fatalf("ended early: %v", err)
		default:
		}
		ready(t, site, "w1", "True")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// starting is a site whose API is not reached at first, as when its tunnel
// goes to a master that is being restarted.
type starting struct {
	*componentstest.Site
	refusals atomic.Int32
}

func (s *starting) API(ctx context.Context) (components.API, error) {
	if s.refusals.Add(-1) >= 0 {
		return nil, context.DeadlineExceeded
	}
	return s.Site.API(ctx)
}

func TestWaitReadyOutlivesAnAPIThatStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &starting{Site: settled(t, "True", "1")}
		site.refusals.Store(3)
		if err := (addons.WaitReady{Nodes: []string{"m1", "w1"}, DNS: true}).Apply(t.Context(), nil, site); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitReadyEndsWhenTheRunDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := settled(t, "False", "1")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := (addons.WaitReady{Nodes: []string{"w1"}}).Apply(ctx, nil, site); err == nil || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// counting is a site that counts how often its API is asked for.
type counting struct {
	*componentstest.Site
	asked int
}

func (c *counting) API(ctx context.Context) (components.API, error) {
	c.asked++
	return c.Site.API(ctx)
}

// Hundreds of Nodes are not asked for ten times a second.
func TestWaitReadyAsksForManyNodesSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := &counting{Site: settled(t, "True", "2")}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		nodes := make([]string, 500)
		for i := range nodes {
			nodes[i] = fmt.Sprint("w", i+2)
		}
		if err := (addons.WaitReady{Nodes: nodes}).Apply(ctx, nil, site); err == nil || site.asked > 11 {
			t.Errorf("asked %d times in 20 s: %v", site.asked, err)
		}
	})
}
