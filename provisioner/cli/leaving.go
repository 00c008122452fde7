package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"provision/components"
	"provision/provisioner/config"
	"provision/provisioner/plan"
	"provision/provisioner/ssh"
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
	if err := s.leave(ctx, lost); err != nil {
		return err
	}
	if err := s.alive(); err != nil {
		return err
	}
	for _, m := range s.leaving {
		if why := plan.Impostor(s.cluster, found, m); why != "" {
			s.unreach[m.Name] = errors.New(why + ": nothing is taken from it")
			delete(found.Machines, m.Name)
		}
	}
	for _, m := range s.leaving {
		if f, answered := found.Machines[m.Name]; answered && m.Role == components.Master && !plan.Untouched(f) {
			s.keepers = append(s.keepers, m.Name)
		}
	}
	return nil
}

// alive says which leaving machines run for certain and cannot be looked at: those are
// not dead, whatever their Nodes say.
func (s *session) alive() error {
	var errs []error
	for _, m := range s.leaving {
		err := s.unreach[m.Name]
		var key *ssh.HostKeyError
		var refused *ssh.AuthError
		switch {
		case err == nil:
		case s.clients[m.Name] != nil:
			errs = append(errs, fmt.Errorf("%s left the file, lets SSH in, and cannot be looked at: it runs; make it well, or cut its power: %w", m.Name, err))
		case errors.As(err, &key), errors.As(err, &refused):
			errs = append(errs, fmt.Errorf("%s left the file, and somebody answers at its address: it is not taken for dead; what its machine block said of SSH belongs into the cluster's ssh block meanwhile, or cut its power: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// known is the inventory without machines that this run has never met, which somebody
// else has added since, and without those that failed: nothing is done about either.
func (s *session) known(inventory []components.Member, failed []string) []components.Member {
	return slices.DeleteFunc(slices.Clone(inventory), func(member components.Member) bool {
		named := func(m components.MachineSpec) bool { return m.Name == member.Name }
		return slices.Contains(failed, member.Name) && !slices.ContainsFunc(s.cluster.Machines, named) ||
			!slices.ContainsFunc(s.cluster.Machines, named) && !slices.ContainsFunc(s.leaving, named)
	})
}

// uncleaned says which machines left and keep what is on them: nobody will know of them
// later.
func (s *session) uncleaned(ctx context.Context, printer *view.Printer) {
	if len(s.leaving) == 0 {
		return
	}
	now := s.lookAtCluster(ctx)
	for _, m := range s.leaving {
		there := slices.ContainsFunc(now.Inventory, func(member components.Member) bool { return member.Name == m.Name })
		if err, lost := s.unreach[m.Name]; lost && now.Reachable && !there {
			printer.Say("warning: ", fmt.Errorf("%s left the cluster and was not cleaned: %w; when it answers again, run `provision down` with a file of this cluster block and that machine alone, without a role", m.Name, err))
		}
	}
}

// login is how SSH reaches a machine that the file does not name. What the inventory
// says is where, as whom, and which host key the file named while it named the machine:
// what to log in with is the file's.
func login(of config.SSH, m components.MachineSpec) config.SSH {
	of.Host, of.HostKey = m.Address.String(), m.HostKey
	user, at, ok := strings.Cut(m.Login, "@")
	if !ok {
		return of
	}
	host, port, err := net.SplitHostPort(at)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || !config.ValidHost(host) || user == "" {
		return of
	}
	of.Host, of.Port = host, int(number)
	if user != of.User {
		of.User, of.Sudo = user, user != "root"
	}
	return of
}
