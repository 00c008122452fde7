package drain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
)

// cluster is an API server with one Node and some pods.
type cluster struct {
	components.Site
	closed  bool
	missing bool
	pods    map[string]string // "namespace/name": the rest of the pod as JSON
	budget  map[string]int    // evictions that are refused first
	asked   []string

	marked   bool          // by a Drain
	replaced time.Duration // until an evicted replica runs elsewhere
	evicted  time.Time
}

type tooMany struct{}

func (tooMany) Error() string   { return "429 Too Many Requests" }
func (tooMany) HTTPStatus() int { return 429 }

func (c *cluster) API(context.Context) (components.API, error) { return c, nil }
func (c *cluster) Ready(context.Context) error                 { return nil }
func (c *cluster) Apply(context.Context, []byte) error         { return errors.ErrUnsupported }
func (c *cluster) ApplyAs(context.Context, string, string, []byte) error {
	return errors.ErrUnsupported
}
func (c *cluster) Path(context.Context, components.Object) (string, error) {
	return "", errors.ErrUnsupported
}

func (c *cluster) Do(ctx context.Context, method, path, _ string, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case path == "/api/v1/nodes/w1" && c.missing:
		return nil, fs.ErrNotExist
	case method == "GET" && path == "/api/v1/nodes/w1":
		mark := ""
		if c.marked {
			mark = "yes"
		}
		return fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}},"spec":{"unschedulable":%v}}`, Mark, mark, c.closed), nil
	case method == "GET" && path == "/apis/apps/v1/namespaces/a/replicasets/web":
		ready := 2
		if time.Since(c.evicted) < c.replaced {
			ready = 1
		}
		return fmt.Appendf(nil, `{"spec":{"replicas":2},"status":{"readyReplicas":%d}}`, ready), nil
	case method == "PATCH" && path == "/api/v1/nodes/w1":
		c.closed = strings.Contains(string(body), "true")
		c.marked = strings.Contains(string(body), `"yes"`)
		return nil, nil
	case method == "GET" && strings.HasPrefix(path, "/api/v1/pods?"):
		var items []string
		for name, rest := range c.pods {
			namespace, name, _ := strings.Cut(name, "/")
			items = append(items, fmt.Sprintf(`{"metadata":{"namespace":%q,"name":%q,"uid":"u-%s"%s},"spec":{"nodeName":"w1"}}`, namespace, name, name, rest))
		}
		return fmt.Appendf(nil, `{"items":[%s]}`, strings.Join(items, ",")), nil
	case method == "POST" && strings.HasSuffix(path, "/eviction"):
		var eviction struct {
			Metadata      struct{ Namespace, Name string }
			DeleteOptions struct{ Preconditions struct{ UID string } }
		}
		if err := json.Unmarshal(body, &eviction); err != nil {
			return nil, err
		}
		name := eviction.Metadata.Namespace + "/" + eviction.Metadata.Name
		c.asked = append(c.asked, name)
		if eviction.DeleteOptions.Preconditions.UID != "u-"+eviction.Metadata.Name {
			return nil, errors.New("another pod of that name")
		}
		if c.budget[name]--; c.budget[name] >= 0 {
			return nil, tooMany{}
		}
		delete(c.pods, name)
		c.evicted = time.Now()
		return nil, nil
	}
	return nil, fmt.Errorf("%s %s: unexpected", method, path)
}

const (
	daemon = `,"ownerReferences":[{"kind":"DaemonSet","controller":true}]`
	mirror = `,"annotations":{"kubernetes.io/config.mirror":"x"}`
)

func TestDrain(t *testing.T) {
	c := &cluster{
		pods:   map[string]string{"a/web": "", "a/slow": "", "kube-system/agent": daemon, "kube-system/static": mirror},
		budget: map[string]int{"a/slow": 1},
	}
	if err := (Drain{Node: "w1", Timeout: 10 * time.Second}).Apply(t.Context(), nil, c); err != nil {
		t.Fatal(err)
	}
	if !c.closed || len(c.pods) != 2 || len(c.asked) != 3 {
		t.Errorf("closed %v, left %v, asked for %v", c.closed, c.pods, c.asked)
	}
}

func TestABudgetThatAllowsNothing(t *testing.T) {
	for _, closed := range []bool{false, true} {
		c := &cluster{closed: closed, pods: map[string]string{"a/web": ""}, budget: map[string]int{"a/web": 99}}
		err := (Drain{Node: "w1", Timeout: 50 * time.Millisecond}).Apply(t.Context(), nil, c)
		if err == nil || !strings.Contains(err.Error(), "a/web may not be evicted, by its PodDisruptionBudget") {
			t.Errorf("%v", err)
		}
		if c.closed != closed || len(c.pods) != 1 {
			t.Errorf("closed %v, was %v; left %v", c.closed, closed, c.pods)
		}
	}
}

func TestNoNodeHasNoPods(t *testing.T) {
	if err := (Drain{Node: "w1"}).Apply(t.Context(), nil, &cluster{missing: true}); err != nil {
		t.Error(err)
	}
}

const replica = `,"ownerReferences":[{"kind":"ReplicaSet","name":"web","uid":"rs","controller":true}]`

// Replicas go one after the other, each once the one before it is replaced; a pod that
// nobody would make anew is spared where the machine stays; and what a Drain has closed
// an Open opens, but nothing that a person closed.
func TestAMachineThatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{pods: map[string]string{"a/web-1": replica, "a/web-2": replica, "a/alone": ""}, budget: map[string]int{}, replaced: 5 * time.Second}
		begin := time.Now()
		if err := (Drain{Node: "w1", Spares: true}).Apply(t.Context(), nil, c); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < c.replaced || took > replacedWithin {
			t.Errorf("the second replica went after %s, and the first was replaced after %s", took, c.replaced)
		}
		if _, there := c.pods["a/alone"]; !there || len(c.pods) != 1 {
			t.Errorf("left %v", c.pods)
		}
		if err := (Open{Node: "w1"}).Apply(t.Context(), nil, c); err != nil || c.closed {
			t.Errorf("opened: %v, %v", !c.closed, err)
		}
		c.closed = true // by a person
		if err := (Open{Node: "w1"}).Apply(t.Context(), nil, c); err != nil || !c.closed {
			t.Errorf("opened: %v, %v", !c.closed, err)
		}
	})
}
