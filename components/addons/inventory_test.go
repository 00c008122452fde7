package addons

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
)

// TestWhoIsForgottenIsDead: a machine that did not answer, or has nothing of the cluster, is
// forgotten once its Node is not Ready, and never while it is.
func TestWhoIsForgottenIsDead(t *testing.T) {
	for _, forget := range []Forget{{Machine: "w1", Silent: true}, {Machine: "w1", Blank: true}} {
		for name, test := range map[string]struct {
			dies time.Duration
			want string
		}{
			"it dies":     {6 * time.Second, ""},
			"it is dead":  {0, ""},
			"it lives on": {time.Hour, "its Node is Ready: its pods run somewhere, and would run twice"},
		} {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				nodes := &mortal{until: begin.Add(test.dies)}
				err := forget.Apply(t.Context(), nil, nodes)
				if test.want == "" && (err != nil || !nodes.deleted) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || nodes.deleted) {
					t.Errorf("%+v, %s: %v, deleted %v", forget, name, err, nodes.deleted)
				}
				if nodes.deleted && time.Since(begin) < test.dies {
					t.Errorf("%+v, %s: deleted after %s", forget, name, time.Since(begin))
				}
			})
		}
	}
}

// mortal is a cluster with one Node, which is Ready for a while.
type mortal struct {
	components.Site
	until   time.Time
	deleted bool
}

func (m *mortal) API(context.Context) (components.API, error) { return mortalAPI{m: m}, nil }

type mortalAPI struct {
	components.API
	m *mortal
}

func (a mortalAPI) Do(_ context.Context, method, path, _ string, _ []byte) ([]byte, error) {
	switch {
	case path != "/api/v1/nodes/w1": // the inventory is not there yet
		if method == "GET" {
			return nil, fs.ErrNotExist
		}
		return nil, nil
	case method == "DELETE":
		a.m.deleted = true
		return nil, nil
	}
	ready := "False"
	if time.Now().Before(a.m.until) {
		ready = "True"
	}
	return fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":%q}]}}`, ready), nil
}
