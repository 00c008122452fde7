package etcd

import (
	"context"
	"fmt"
	"time"

	"provision/components"
)

// Leave removes a master's member from etcd, which first looks whether a quorum of
// those that are left answers. It runs meanwhile, where it can: a member that is
// stopped before would take its vote from a quorum that still counts it.
type Leave struct {
	Name string // the member's and its machine's
	Peer string // its URL
	Via  string // the machine whose member is asked
	Node string // path of the bundle's node program there
}

// leaveWithin bounds it; node has its own, shorter, times.
const leaveWithin = 2 * time.Minute

// Leave is the action that takes a master out.
func (v View) Leave(m components.MachineSpec) Leave {
	return Leave{Name: m.Name, Peer: Peer(m), Via: v.Via(), Node: v.c.BundleDir() + "/bin/node"}
}

// Component is "etcd".
func (Leave) Component() string { return "etcd" }

func (a Leave) String() string {
	return "remove the member " + a.Name + ", whose vote the others do without"
}

// Touches is empty: nothing of it is in a file.
func (Leave) Touches() []components.Touch { return nil }

// Apply removes it; one that is no member any more is no error.
func (a Leave) Apply(ctx context.Context, _ components.Machine, site components.Site) error {
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	via, err := site.Machine(a.Via)
	if err != nil {
		return err
	}
	if _, err := via.Run(ctx, []string{a.Node, "etcd-members", "remove", a.Peer}, nil); err != nil {
		return fmt.Errorf("on %s: %w", a.Via, err)
	}
	return nil
}
