package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"
)

// The two sets of probes: two pods on each machine, since a Service of the same
// machine is another matter than a pod's Service leading back to itself.
const (
	probeSet = "probe"
	mateSet  = "mate"
)

//go:embed files/probes.yaml
var probesText string

var probesTemplate = template.Must(template.New("probes").Option("missingkey=error").Parse(probesText))

// stage is what the checks play on: a namespace with probes on every machine.
type stage struct {
	cluster   Cluster
	options   Options
	namespace string
	nodes     map[string]node           // by name
	pods      map[string]map[string]pod // set → node → pod
	services  map[string]service
	six       bool              // seen with the addresses of IPv6
	apiAddr   string            // of the Service kubernetes
	target    string            // machine of the pod behind Service one
	mute      map[string]error  // machines in whose pods no command runs
	ways      map[string]wayOut // by machine; empty where the file names whom to reach
	paths     *measured
	wire      *sniffed
}

// build sets the stage up. The stage it returns is to be removed, also where an
// error comes with it.
func build(ctx context.Context, cluster Cluster, options Options) (*stage, error) {
	if err := sweep(ctx, cluster); err != nil {
		return nil, err
	}
	s := &stage{cluster: cluster, options: options, namespace: "provision-verify-" + strings.ToLower(rand.Text()[:8])}
	var looking sync.WaitGroup
	defer looking.Wait()
	if options.Outside == "" {
		looking.Go(func() { s.ways = waysOut(ctx, options.Machines, options.Dual) })
	}
	if err := s.apply(ctx, probesTemplate, map[string]any{
		"Namespace": s.namespace, "Owner": owner(), "Image": options.Image, "Sets": []string{probeSet, mateSet},
	}); err != nil {
		return s, err
	}
	if err := s.wait(ctx); err != nil {
		return s, err
	}
	s.paths = s.measure(ctx)
	s.listen(ctx)
	s.wire = s.sniff(ctx)
	if err := s.pickTarget(ctx); err != nil {
		return s, err
	}
	return s, s.readServices(ctx)
}

func (s *stage) apply(ctx context.Context, t *template.Template, values map[string]any) error {
	var text bytes.Buffer
	if err := t.Execute(&text, values); err != nil {
		return err
	}
	return s.cluster.Apply(ctx, text.Bytes())
}

// wait looks at nodes and pods until both probes run on every Ready node, or
// patience ends: what is missing then is for the checks to tell.
func (s *stage) wait(ctx context.Context) error {
	deadline := time.Now().Add(setupPatience)
	for {
		var err error
		if s.nodes, err = readNodes(ctx, s.cluster); err != nil {
			return err
		}
		pods, err := readPods(ctx, s.cluster, s.namespace)
		if err != nil {
			return err
		}
		s.pods = map[string]map[string]pod{probeSet: {}, mateSet: {}}
		for _, p := range pods {
			if set := s.pods[p.set]; set != nil && (p.ready || !set[p.node].ready) {
				set[p.node] = p
			}
		}
		missing := 0
		for name, n := range s.nodes {
			if n.ready && !(s.pods[probeSet][name].ready && s.pods[mateSet][name].ready) {
				missing++
			}
		}
		if missing == 0 || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// listen finds the machines in whose pods no command runs, so that the checks
// which need that blame nothing else.
func (s *stage) listen(ctx context.Context) {
	s.mute = map[string]error{}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(atOnce)
	for name, from := range s.pods[probeSet] {
		if !from.ready {
			continue
		}
		group.Go(func() error {
			// A kubelet that has just joined still waits for its certificate.
			var last error
			if until(ctx, execPatience, func() bool {
				once, cancel := context.WithTimeout(ctx, tryPatience)
				defer cancel()
				_, last = s.inPod(once, from, "env")
				return last == nil
			}) != nil {
				mu.Lock()
				defer mu.Unlock()
				s.mute[name] = last
			}
			return nil
		})
	}
	group.Wait()
}

// pickTarget labels the first running probe, in the machines' order from the
// end: workers are more telling than the master.
func (s *stage) pickTarget(ctx context.Context) error {
	for i := len(s.options.Machines) - 1; i >= 0; i-- {
		p := s.pods[probeSet][s.options.Machines[i].Name]
		if !p.ready {
			continue
		}
		s.target = p.node
		_, err := s.cluster.Do(ctx, http.MethodPatch, "/api/v1/namespaces/"+s.namespace+"/pods/"+p.name,
			"application/merge-patch+json", []byte(`{"metadata":{"labels":{"provision.internal/target":"true"}}}`))
		return err
	}
	return nil
}

func (s *stage) readServices(ctx context.Context) error {
	var err error
	if s.services, err = readServices(ctx, s.cluster, s.namespace); err != nil {
		return err
	}
	for _, name := range []string{"all", "near", "one"} {
		if s.services[name].address == "" {
			return fmt.Errorf("Service %s in %s has no address", name, s.namespace)
		}
	}
	defaults, err := readServices(ctx, s.cluster, "default")
	s.apiAddr = defaults["kubernetes"].address
	return err
}

// remove takes away what was set up. It goes on when ctx has ended: a verify
// that was interrupted cleans up as well.
func (s *stage) remove(ctx context.Context) error {
	return removeNamespace(ctx, s.cluster, s.namespace, cleanPatience)
}

// removeNamespace deletes the namespace first, so that no controller makes the
// pods anew, and then the pods without grace: a machine that is off, or slow,
// would keep them, and the namespace, for its own time. It waits until nothing
// runs there any more. The empty namespace itself goes five seconds later, which
// is how long Kubernetes' own controller waits before it looks at one.
func removeNamespace(ctx context.Context, cluster Cluster, name string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	path := "/api/v1/namespaces/" + name
	deleted := false
	var last error // what was wrong, not that time was up
	for {
		err := func() error {
			if !deleted {
				if _, err := cluster.Do(ctx, http.MethodDelete, path, "", nil); err != nil {
					return err
				}
				deleted = true
			}
			if _, err := cluster.Do(ctx, http.MethodDelete, path+"/pods", "application/json", []byte(`{"gracePeriodSeconds":0}`)); err != nil {
				return err
			}
			var list struct{ Items []struct{} }
			if err := get(ctx, cluster, path+"/pods", &list); err != nil {
				return err
			}
			if len(list.Items) > 0 {
				return fmt.Errorf("%d pods are still there", len(list.Items))
			}
			return nil
		}()
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("namespace %s is told to go, and not empty yet: %w", name, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// get reads an object or a list of the API.
func get(ctx context.Context, cluster Cluster, path string, into any) error {
	data, err := cluster.Do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
