package cli

import (
	"context"

	"github.com/spf13/cobra"

	"provision/provisioner/verify"
)

func (a *app) verifyCommand() *cobra.Command {
	cmd := a.withFile(&cobra.Command{
		Use:   "verify FILE",
		Short: "Prove that the cluster works",
		Long: `Prove that the cluster works. A probe is started on every machine, in a namespace that
is taken away again, and asked to reach the others in every way that pods and machines
do: pod to pod on every pair, Services from every node, from the same machine and from
the pod itself, NodePorts, DNS, the world outside.

Exit status: 0 everything works, 1 something does not.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.verify(cmd.Context(), args[0]) },
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

func (a *app) verify(ctx context.Context, path string) error {
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	client, err := s.api(ctx)
	if err != nil {
		return err
	}
	printer := a.printer()
	results, err := verify.Run(ctx, client, verify.Options{
		Image:    s.cluster.Image("probe"),
		Domain:   s.cluster.Network.Domain,
		Outside:  s.file.Cluster.Verify.Outside,
		Machines: s.verifyMachines(),
		Observe:  printer.Check,
	})
	if err != nil {
		return err
	}
	if err := printer.Verified(results); err != nil {
		return err
	}
	if !verify.Passed(results) {
		return status(exitFailed)
	}
	return nil
}

func (s *session) verifyMachines() []verify.Machine {
	var machines []verify.Machine
	for _, m := range s.cluster.Machines {
		machine := verify.Machine{Name: m.Name, Role: m.Role, Address: m.Address}
		if client, ok := s.clients[m.Name]; ok {
			machine.Dial = client.DialContext
		}
		machines = append(machines, machine)
	}
	return machines
}
