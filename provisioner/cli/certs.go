package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"provision/provisioner/plan"
	"provision/provisioner/run"
)

func (a *app) certsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Give machines new keys and certificates, or the cluster new authorities",
		Long: `Certificates renew themselves ('provision status' says when the first one ends). These
commands are for when somebody may have come to know a key.

    provision certs rotate cluster.hcl
    provision certs rotate cluster.hcl --ca`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misuse{errors.New("certs has one command: provision certs rotate FILE [--ca]")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.certsRotateCommand())
	return cmd
}

func (a *app) certsRotateCommand() *cobra.Command {
	var yes, authorities, dry bool
	cmd := a.withFile(&cobra.Command{
		Use:   "rotate FILE",
		Short: "New keys and certificates for every machine; with --ca new authorities as well",
		Long: `Every machine makes new keys and gets certificates for them, masters one at a time.
Nothing is restarted: processes read them again by themselves. The certificate with which
kubelet serves is kubelet's own, and stays.

With --ca the cluster's authorities (cluster, etcd, front-proxy) are replaced as well: every
machine trusts both, every master signs with the new ones and every machine gets other
certificates (kubelet's as well), then the old ones are dropped. What reads an authority only
when it starts is restarted, as the plan names it: masters one at a time, so that with several
of them the API is reachable throughout, workers as many at once as max_unavailable allows.
Pods go on.

    provision certs rotate cluster.hcl
    provision certs rotate cluster.hcl --ca --dry-run
    provision certs rotate cluster.hcl --ca

Connections that lead through API servers to pods (exec, logs -f, port-forward) may end.
Afterwards 'provision kubeconfig' has to be asked again by those who use its file, and pods
which call the API and read its authority only when they start must be restarted before half
of the certificates' lifetime has passed ('certificates { lifetime }', a year).

--ca wants every machine to answer, and the cluster to be as the file says. A run that was
stopped is gone on with by the same command; 'provision up' waits for that.

The keys of ServiceAccounts' tokens and of encrypted Secrets are not replaced.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.certsRotate(cmd.Context(), args[0], authorities, dry, yes)
		},
	})
	cmd.Flags().BoolVar(&authorities, "ca", false, "replace the authorities as well")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would be done, and change nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes); with --dry-run the plan as JSON")
	return cmd
}

func (a *app) certsRotate(ctx context.Context, path string, authorities, dry, yes bool) error {
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found, err := s.begin(ctx, func(found plan.Facts) error {
		return s.refuseFor(plan.CheckRotation(s.cluster, found, authorities, time.Now()))
	})
	if err != nil {
		return err
	}
	reason, of := "certs rotate", func(found plan.Facts) plan.Plan { return plan.RotateKeys(s.cluster, found, time.Now()) }
	if authorities {
		begin := true
		reason, of = "certs rotate --ca", func(found plan.Facts) plan.Plan {
			begin = begin && !plan.Rotating(s.cluster, found) // what has begun is not begun again at its end
			return plan.RotateAuthorities(s.cluster, found, begin, time.Now())
		}
	}
	p := of(found)
	if dry {
		return s.show(p)
	}
	printer := a.printer()
	if err := s.consent(ctx, printer, p, "Do this?", yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env(reason, observer, of)
	if again := env.Replan; authorities {
		env.Replan = func(ctx context.Context, failed []string) (plan.Plan, error) {
			s.forgetAll() // the administrators' certificate is another by then
			return again(ctx, failed)
		}
	} else {
		env.Replan = func(context.Context, []string) (plan.Plan, error) { return p, nil } // nothing in it depends on what was done
	}
	err = run.Apply(ctx, p, env)
	finish(err)
	return errors.Join(err, s.leftOut())
}

// forgetAll drops all clients of API servers: the next ones read their certificate anew.
func (s *session) forgetAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube != nil {
		s.kube.Close()
	}
	for _, client := range s.own {
		client.Close()
	}
	s.kube, s.own = nil, nil
}
