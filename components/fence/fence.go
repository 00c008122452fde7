// Package fence says of a machine that nothing of Kubernetes runs on it any
// more, so that its StatefulSets' pods and their volumes may move: actions that
// stop everything there and mark its Node out-of-service, and those that take
// that back.
//
// On what evidence a Node may be marked is provisioner/plan's to judge; stopping
// and looking is components/agent/remove's.
package fence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"provision/components"
	"provision/components/addons"
)

// Taint is upstream's word for a machine that is down and will not come back by
// itself: its pods are deleted by force, its volumes detached.
var Taint = components.Taint{Key: "node.kubernetes.io/out-of-service", Value: "nodeshutdown", Effect: "NoExecute"}

// Marked says that a Node has the taint, with whatever value.
func Marked(node components.NodeFact) bool {
	return slices.ContainsFunc(node.Taints, func(t components.Taint) bool { return t.Key == Taint.Key })
}

// Halted says that everything on a machine is stopped on purpose.
func Halted(f components.Facts) bool {
	_, is := f.Files[components.Fenced]
	return is
}

// Halt stops everything of ours on a machine and looks whether it is.
type Halt struct {
	Agent string // path of the agent's binary
}

// Component is "fence".
func (Halt) Component() string { return "fence" }

func (Halt) String() string {
	return "stop everything of Kubernetes and all pods, unmount their volumes, and see that it is so"
}

// Touches is empty: its own mark says what it changed.
func (Halt) Touches() []components.Touch { return nil }

// Apply fails where anything is left that could write to a volume.
func (a Halt) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{a.Agent, "fence"}, nil)
	return err
}

// Resume starts again what Halt stopped.
type Resume struct {
	Agent string
}

// Component is "fence".
func (Resume) Component() string { return "fence" }

func (Resume) String() string { return "start everything again, without the pods of before" }

// Touches is empty.
func (Resume) Touches() []components.Touch { return nil }

// Apply only asks systemd to start things: AwaitNode waits.
func (a Resume) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{a.Agent, "fence", "--undo"}, nil)
	return err
}

// AwaitNode waits until a machine's kubelet speaks again and is ready.
type AwaitNode struct {
	Node string
	Via  []string // masters whose API servers are asked, in order
}

// backWithin bounds the wait for a kubelet: containerd takes up its images first.
const backWithin = 2 * time.Minute

// Component is "fence".
func (AwaitNode) Component() string { return "fence" }

func (a AwaitNode) String() string { return "wait until kubelet has renewed its Lease and is ready" }

// Touches is empty.
func (AwaitNode) Touches() []components.Touch { return nil }

// Interruptible says that it only waits.
func (AwaitNode) Interruptible() bool { return true }

// Apply asks every half second. A Ready of before does not count: the Lease must move.
func (a AwaitNode) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, backWithin)
	defer cancel()
	first, last := "", errors.New("kubelet has not renewed its Lease")
	for {
		api, err := serving(ctx, site, a.Via)
		if err == nil {
			var ready bool
			var renewed string
			if ready, renewed, err = look(ctx, api, a.Node); err == nil {
				switch {
				case first == "":
					first = renewed
				case renewed != first && ready:
					return nil
				case renewed != first:
					last = errors.New("its kubelet runs and is not ready")
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("node %s is not back: %w", a.Node, last)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func look(ctx context.Context, api components.API, name string) (ready bool, renewed string, err error) {
	n, err := get(ctx, api, name)
	if err != nil {
		return false, "", err
	}
	renewed, err = addons.Renewed(ctx, api, name)
	return n.ready(), renewed, err
}

// serving returns a client of the first master whose API server is ready: that
// of the machine itself may just have been stopped.
func serving(ctx context.Context, site components.Site, via []string) (components.API, error) {
	errs := []error{errors.New("no API server answers")}
	for _, master := range via {
		api, err := site.APIOf(ctx, master)
		if err == nil {
			asking, cancel := context.WithTimeout(ctx, 5*time.Second)
			err = api.Ready(asking)
			cancel()
		}
		if err == nil {
			return api, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", master, err))
	}
	return nil, errors.Join(errs...)
}
