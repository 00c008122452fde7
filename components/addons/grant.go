package addons

import (
	"context"
	"net"
	"strconv"
	"time"

	"provision/components"
)

// Grant gives the administrators their rights, from the master itself: in a new
// cluster nobody else may.
type Grant struct {
	Agent  string // path of the agent's binary
	Server string // URL of this master's API server
}

func newGrant(c components.Cluster, m components.MachineSpec) Grant {
	return Grant{Agent: c.Agent(), Server: "https://" + net.JoinHostPort(m.Address.String(), strconv.Itoa(components.PortAPI))}
}

// Component is "addons".
func (Grant) Component() string { return "addons" }

func (Grant) String() string { return "give the administrators their rights" }

// Touches is empty: nothing of it is on the machine.
func (Grant) Touches() []components.Touch { return nil }

// effectWithin bounds the wait for the API server to heed a binding: its
// authorizer learns of one by a watch, a moment after it was written.
const effectWithin = 15 * time.Second

// Apply has the agent do it, which waits for the API server, and then waits
// until the rights hold: whoever comes next needs them.
func (a Grant) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	if _, err := on.Run(ctx, []string{a.Agent, "grant", "--dir", components.PKI, "--server", a.Server}, nil); err != nil {
		return err
	}
	api, err := site.API(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, effectWithin)
	defer cancel()
	for {
		_, err := api.Do(ctx, "GET", "/api/v1/nodes?limit=1", "", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}
