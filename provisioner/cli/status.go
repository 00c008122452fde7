package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/provisioner/plan"
	"provision/provisioner/verify"
	"provision/provisioner/view"
)

// machineStatus is one machine's row of status.
type machineStatus struct {
	Name     string   `json:"name"`
	Role     string   `json:"role"`
	Address  string   `json:"address"`
	Ready    bool     `json:"ready"`
	Version  string   `json:"version,omitempty"` // kubelet's
	Overlay  string   `json:"overlay,omitempty"` // "kernel" or "userspace"
	PodCIDRs []string `json:"podCIDRs,omitempty"`
	Etcd     string   `json:"etcd,omitempty"`               // "leader", "voter", "learner"; masters only
	Expires  string   `json:"certificatesExpire,omitempty"` // the first of them, RFC 3339
	Problems []string `json:"problems,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	cmd := a.withFile(&cobra.Command{
		Use:   "status FILE",
		Short: "Show how the machines and the cluster are",
		Long: `Look at every machine and at the API, and show what is right and what is not. Nothing is
changed. Warnings are of what goes on working for now: certificates that end within 30
days, network policies that nobody enforces. A note says what is outside of the tunnel.

    provision status cluster.hcl
    provision status cluster.hcl --json | jq '.machines[] | select(.ready | not)'

Exit status: 0 all is well, 1 something is not.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.status(cmd.Context(), args[0]) },
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

func (a *app) status(ctx context.Context, path string) error {
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.look(ctx)
	if err != nil {
		return err
	}
	rows := s.rows(found)
	more, err := s.more(ctx, found)
	if err != nil {
		return err
	}
	for i := range rows {
		rows[i].Overlay = more.modes[rows[i].Name]
	}
	warned := warnings(s.cluster, found, more, time.Now())
	healthy := found.Cluster.Reachable
	var cells [][]string
	for _, row := range rows {
		healthy = healthy && len(row.Problems) == 0
		state := "well"
		if len(row.Problems) > 0 {
			state = strings.Join(row.Problems, "; ")
		}
		expires := row.Expires
		if len(expires) > len(time.DateOnly) {
			expires = expires[:len(time.DateOnly)]
		}
		cells = append(cells, []string{row.Name, row.Role, row.Address, row.Version, strings.Join(row.PodCIDRs, ","), row.Overlay, row.Etcd, expires, state})
	}
	if a.json {
		err = a.printer().Document(map[string]any{"cluster": s.cluster.Name, "version": more.version, "api": found.Cluster.Reachable,
			"addons": append([]string{}, slices.Sorted(maps.Keys(found.Cluster.Applied))...), "machines": rows, "warnings": append([]string{}, warned...), "notes": []string{verify.Limit}})
	} else {
		err = a.printer().Table([]string{"MACHINE", "ROLE", "ADDRESS", "KUBELET", "POD SUBNET", "OVERLAY", "ETCD", "CERTIFICATES UNTIL", "STATE"}, cells)
		if !found.Cluster.Reachable {
			a.printer().Say("the cluster itself does not say how it is: ", errors.New(found.Cluster.Problem))
		} else if err == nil {
			_, err = fmt.Fprintf(a.stdout, "\ncluster %s: the API server answers; Kubernetes %s; addons: %s\n",
				s.cluster.Name, view.Clean(more.version), view.Clean(strings.Join(slices.Sorted(maps.Keys(found.Cluster.Applied)), ", ")))
		}
		for _, warning := range warned {
			a.printer().Say("warning: ", errors.New(warning))
		}
		a.printer().Say("note: ", errors.New(verify.Limit))
	}
	if err == nil && !healthy {
		return status(exitFailed)
	}
	return err
}

// more asks the API for the rest, where it answers.
func (s *session) more(ctx context.Context, found plan.Facts) (extra, error) {
	if !found.Cluster.Reachable {
		return extra{}, nil
	}
	client, err := s.api(ctx)
	if err != nil {
		return extra{}, err
	}
	return askMore(ctx, client)
}

func (s *session) rows(found plan.Facts) []machineStatus {
	var rows []machineStatus
	for _, m := range s.cluster.Machines {
		row := machineStatus{Name: m.Name, Role: string(m.Role), Address: m.Address.String()}
		node, known := found.Cluster.Nodes[m.Name]
		row.Ready, row.Version, row.PodCIDRs = node.Ready, node.Version, node.PodCIDRs
		if err, lost := s.unreach[m.Name]; lost {
			row.Problems = append(row.Problems, err.Error())
		}
		if f, ok := found.Machines[m.Name]; ok {
			row.Problems = append(append(row.Problems, unitProblems(f)...), f.Overlay...)
			row.Expires = firstExpiry(f)
			var problem string
			if row.Etcd, problem = etcdState(f); problem != "" {
				row.Problems = append(row.Problems, problem)
			}
			switch {
			case plan.Untouched(f):
				row.Problems = append(row.Problems, "nothing of ours is on it")
			case f.Cluster != "" && f.Cluster != s.cluster.Name:
				row.Problems = append(row.Problems, fmt.Sprintf("belongs to the cluster %q", f.Cluster))
			}
		}
		fenced := plan.Fenced(found, m.Name)
		if fenced != nil {
			row.Problems = append(row.Problems, fenced.Error())
		}
		switch {
		case found.Cluster.Reachable && !known:
			row.Problems = append(row.Problems, "not in the cluster")
		case known && !node.Ready && fenced == nil:
			row.Problems = append(row.Problems, "its Node is not ready")
		}
		rows = append(rows, row)
	}
	return rows
}

// etcdState is what a master's member of etcd is, and what is wrong with it
// beyond its unit.
func etcdState(f components.Facts) (state, problem string) {
	switch {
	case f.Etcd.Member == "":
		return "", ""
	case f.Etcd.Leader == "":
		return "no leader", "its etcd finds no quorum"
	case f.Etcd.Leader == f.Etcd.Member:
		return "leader", ""
	}
	for _, member := range f.Etcd.Members {
		if member.ID == f.Etcd.Member && member.Learner {
			return "learner", "its etcd has no vote yet: `provision up` goes on with that"
		}
	}
	return "voter", ""
}

func unitProblems(f components.Facts) []string {
	var problems []string
	for _, name := range slices.Sorted(maps.Keys(f.Units)) {
		unit := f.Units[name]
		short := strings.TrimSuffix(strings.TrimPrefix(name, components.UnitName), ".service")
		switch {
		case unit.Enabled && unit.Active != "active":
			problems = append(problems, short+" is "+unit.Active)
		case unit.Stale:
			problems = append(problems, short+" runs with an old configuration")
		}
	}
	return problems
}

func firstExpiry(f components.Facts) string {
	var first time.Time
	for _, certificate := range f.Certificates {
		if first.IsZero() || certificate.NotAfter.Before(first) {
			first = certificate.NotAfter
		}
	}
	if first.IsZero() {
		return ""
	}
	return first.UTC().Format(time.RFC3339)
}
