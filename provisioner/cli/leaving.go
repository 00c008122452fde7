package cli

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"provision/components"
	"provision/provisioner/config"
	"provision/provisioner/plan"
	"provision/provisioner/view"
)

// meet connects to the machines that the cluster has and the file does not name any
// more, and adds what they say to found. How to reach them is the file's ssh block and
// what the inventory kept of the last run.
func (s *session) meet(ctx context.Context, found plan.Facts) error {
	s.leaving = plan.Leaving(s.cluster, found.Cluster)
	if len(s.leaving) == 0 {
		return nil
	}
	var machines []config.Machine
	for _, m := range s.leaving {
		machines = append(machines, config.Machine{Name: m.Name, Role: config.Role(m.Role), Address: m.Address, SSH: login(s.file.SSH, m)})
	}
	s.connect(ctx, machines)
	also, lost := s.gather(ctx, slices.Collect(maps.Keys(found.Machines))...)
	maps.Copy(found.Machines, also.Machines)
	return s.leave(ctx, lost)
}

// uncleaned says which machines left and keep what is on them.
func (s *session) uncleaned(printer *view.Printer) {
	for _, m := range s.leaving {
		if err, lost := s.unreach[m.Name]; lost {
			printer.Say("warning: ", fmt.Errorf("%s left the cluster and was not cleaned: %w; when it answers again, run `provision down` with a file of this cluster block and that machine alone, without a role", m.Name, err))
		}
	}
}

// login is how SSH reaches a machine that the file does not name. What the inventory
// says is where, as whom, and which host key the file named while it named the machine:
// what to log in with is the file's.
func login(ssh config.SSH, m components.MachineSpec) config.SSH {
	ssh.Host, ssh.HostKey = m.Address.String(), m.HostKey
	user, at, ok := strings.Cut(m.Login, "@")
	if !ok {
		return ssh
	}
	host, port, err := net.SplitHostPort(at)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || !config.ValidHost(host) || user == "" {
		return ssh
	}
	ssh.Host, ssh.Port = host, int(number)
	if user != ssh.User {
		ssh.User, ssh.Sudo = user, user != "root"
	}
	return ssh
}
