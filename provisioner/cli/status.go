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
	API      string   `json:"api,omitempty"`                // its own server: "ready", "not ready"; masters only
	Expires  string   `json:"certificatesExpire,omitempty"` // the first of them, RFC 3339
	Problems []string `json:"problems,omitempty"`
}

// clusterStatus is all that status shows.
type clusterStatus struct {
	Cluster  string          `json:"cluster"`
	Version  string          `json:"version"`
	API      bool            `json:"api"`
	Problem  string          `json:"problem,omitempty"` // why the API says nothing
	Addons   []string        `json:"addons"`
	Machines []machineStatus `json:"machines"`
	Leases   []leaseStatus   `json:"leases"`
	Warnings []string        `json:"warnings"`
	Notes    []string        `json:"notes"`
}

func (c clusterStatus) healthy() bool {
	return c.API && !slices.ContainsFunc(c.Machines, func(m machineStatus) bool { return len(m.Problems) > 0 }) &&
		!slices.ContainsFunc(c.Leases, func(l leaseStatus) bool { return l.Problem != "" })
}

func (a *app) statusCommand() *cobra.Command {
	var every time.Duration
	cmd := a.withFile(&cobra.Command{
		Use:   "status FILE",
		Short: "Show how the machines and the cluster are",
		Long: `Look at every machine and at the API, and show what is right and what is not: members of
etcd and their leader, each master's own API server, who holds the leases of the
controllers, certificates. Nothing is changed. Warnings are of what goes on working for
now: certificates that end within 30 days, network policies that nobody enforces. A note
says what is outside of the tunnel.

    provision status cluster.hcl
    provision status cluster.hcl --watch
    provision status cluster.hcl --json | jq '.machines[] | select(.ready | not)'

With --watch it looks again every 2 s, or as often as --watch=10s says, until Ctrl-C: on a
terminal in the same place, elsewhere in blocks, with --json one document a line.

Exit status: 0 all is well, 1 something is not; with --watch, at the last look.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case !cmd.Flags().Changed("watch"):
				return a.status(cmd.Context(), args[0])
			case every < 100*time.Millisecond:
				return misuse{fmt.Errorf("--watch=%s: it takes 100ms or more, as in --watch=5s", every)}
			}
			return a.watch(cmd.Context(), args[0], every)
		},
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	cmd.Flags().DurationVar(&every, "watch", 0, "look again and again, every so often (2s), until Ctrl-C")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	return cmd
}

func (a *app) status(ctx context.Context, path string) error {
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	doc, err := s.status(ctx)
	if err != nil {
		return err
	}
	if a.json {
		err = a.printer().Document(doc)
	} else {
		err = doc.show(a.printer())
	}
	if err == nil && !doc.healthy() {
		return status(exitFailed)
	}
	return err
}

// status looks at everything once. What comes with an error is what was seen.
func (s *session) status(ctx context.Context) (clusterStatus, error) {
	doc := clusterStatus{Cluster: s.cluster.Name, Addons: []string{}, Leases: []leaseStatus{}, Warnings: []string{}, Notes: []string{verify.Limit}}
	found, err := s.look(ctx)
	if err != nil {
		return doc, err
	}
	doc.API, doc.Problem = found.Cluster.Reachable, found.Cluster.Problem
	doc.Addons = append(doc.Addons, slices.Sorted(maps.Keys(found.Cluster.Applied))...)
	bounded, cancel := s.bounded(ctx)
	defer cancel()
	ready := s.ready(bounded, found)
	doc.Machines = s.rows(found, ready)
	more, err := s.more(bounded, found)
	if err != nil {
		return doc, err
	}
	doc.Version = more.version
	doc.Leases = append(doc.Leases, more.leases...)
	for i := range doc.Machines {
		doc.Machines[i].Overlay = more.modes[doc.Machines[i].Name]
	}
	doc.Warnings = append(doc.Warnings, warnings(s.cluster, found, more, time.Now())...)
	return doc, nil
}

// show prints it for people.
func (c clusterStatus) show(p *view.Printer) error {
	var cells [][]string
	for _, row := range c.Machines {
		state := "well"
		if len(row.Problems) > 0 {
			state = strings.Join(row.Problems, "; ")
		}
		expires := row.Expires
		if len(expires) > len(time.DateOnly) {
			expires = expires[:len(time.DateOnly)]
		}
		cells = append(cells, []string{row.Name, row.Role, row.Address, row.Version, strings.Join(row.PodCIDRs, ","), row.Overlay, row.Etcd, row.API, expires, state})
	}
	if err := p.Table([]string{"MACHINE", "ROLE", "ADDRESS", "KUBELET", "POD SUBNET", "OVERLAY", "ETCD", "API", "CERTIFICATES UNTIL", "STATE"}, cells); err != nil {
		return err
	}
	if !c.API {
		p.Say("the cluster itself does not say how it is: ", errors.New(c.Problem))
	} else {
		var leases [][]string
		for _, l := range c.Leases {
			state, renewed := "well", fmt.Sprintf("%.0f s ago", l.Renewed)
			if l.Problem != "" {
				state = l.Problem
			}
			if l.Holder == "" {
				renewed = ""
			}
			leases = append(leases, []string{l.Name, l.Holder, renewed, state})
		}
		if err := p.Paragraph(fmt.Sprintf("cluster %s: the API server answers; Kubernetes %s; addons: %s", c.Cluster, c.Version, strings.Join(c.Addons, ", "))); err != nil {
			return err
		}
		if len(leases) > 0 {
			if err := p.Paragraph(""); err != nil {
				return err
			}
			if err := p.Table([]string{"LEASE", "HOLDER", "RENEWED", "STATE"}, leases); err != nil {
				return err
			}
		}
	}
	for _, warning := range c.Warnings {
		p.Say("warning: ", errors.New(warning))
	}
	for _, note := range c.Notes {
		p.Say("note: ", errors.New(note))
	}
	return nil
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
	more, err := askMore(ctx, client)
	if err == nil {
		more.leases, err = leases(ctx, client, found.Machines, time.Now())
	}
	return more, err
}

func (s *session) rows(found plan.Facts, ready map[string]string) []machineStatus {
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
			if answer := ready[m.Name]; answer == "ready" {
				row.API = answer
			} else if answer != "" {
				row.API = "not ready"
				row.Problems = append(row.Problems, "its API server: "+answer)
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
