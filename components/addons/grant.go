package addons

import (
	"context"
	"net"
	"strconv"

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

// Apply has the agent do it, which waits for the API server.
func (a Grant) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{a.Agent, "grant", "--dir", components.PKI, "--server", a.Server}, nil)
	return err
}
