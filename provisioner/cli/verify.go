package cli

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"provision/components/wire"
	"provision/provisioner/kube"
	"provision/provisioner/mesh"
	"provision/provisioner/report"
	"provision/provisioner/verify"
)

func (a *app) verifyCommand() *cobra.Command {
	var drill drillFlags
	var files reportFiles
	cmd := a.withFile(&cobra.Command{
		Use:   "verify FILE",
		Short: "Prove that the cluster works",
		Long: `Prove that the cluster works. A probe is started on every machine, in a namespace that
is taken away again, and asked to reach the others in every way that pods and machines
do: pod to pod on every pair, Services from every node, from the same machine and from
the pod itself, NodePorts, DNS, the world outside: the server that the file names in
verify { outside = ... }, or else the machine's own resolvers, where they answer it.

Encryption is looked at, not believed: while pods on each pair of machines send each other
a random text over TCP and UDP, every machine watches its own links for that text. And each
pair's largest packet that arrives, which the machines measure all the time, is compared
with what pods send; where it is smaller, the check says which MTU to set.

With --failover something is broken instead, on purpose, while clients ask a Service and
write to the API all the time, from outside and from inside, and it is measured when the
cluster has noticed, when others do the work, and how long nobody had an answer:

    worker          a worker falls silent, as if its power were cut
    two-workers     two of them at once
    worker-process  kubelet and containerd of a worker are killed, its pods go on
    master          the master whose etcd leads falls silent
    etcd-leader     its etcd is killed
    partition       it and a worker are cut off from all others, together
    all             one after the other, without those that this cluster would not survive

Each says first what will happen, and asks. Before anything is harmed a switch is armed on
the machine itself, a timer of systemd that undoes it after --hold, even where provision or
this computer dies meanwhile. A machine falls silent because all of its packets are dropped
by an nftables table; with --power-off and --power-on its real power is switched, and
nothing but provision gives it back:

    provision verify cluster.hcl --failover all
    provision verify cluster.hcl --failover worker \
      --power-off 'virsh destroy {machine}' --power-on 'virsh start {machine}'

With --junit and --html the results go to files as well: for CI systems, and as a page
for people, with each drill's timeline drawn. The page needs nothing but itself. Both
are written where something fails, too.

    provision verify cluster.hcl --junit verify.xml --html verify.html

Exit status: 0 everything works, 1 something does not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.report(files, func(found *report.Report) error {
				if drill.failover == "" {
					return a.verify(cmd.Context(), args[0], found)
				}
				return a.drills(cmd.Context(), args[0], drill, func(cluster string, result verify.Drill) {
					found.Cluster = cluster
					if len(result.Timeline) > 0 {
						found.Drills = append(found.Drills, result)
					}
				})
			})
		},
	})
	cmd.Flags().StringVar(&drill.failover, "failover", "", "break something on purpose, and measure what follows: the `drill`'s name, or all")
	cmd.Flags().StringVar(&drill.powerOff, "power-off", "", "command that cuts the power of {machine}")
	cmd.Flags().StringVar(&drill.powerOn, "power-on", "", "command that gives it back")
	cmd.Flags().BoolVar(&drill.yes, "yes", false, "do not ask before a drill")
	cmd.Flags().DurationVar(&drill.hold, "hold", 0, "how long a machine stays cut off (default detect + evict + 15s, for masters 15s more)")
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	files.flags(cmd)
	return cmd
}

func (a *app) verify(ctx context.Context, path string, found *report.Report) error {
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	found.Cluster = s.cluster.Name
	client, err := s.api(ctx)
	if err != nil {
		return err
	}
	options, err := s.verifyOptions(ctx, client)
	if err != nil {
		return err
	}
	printer := a.printer()
	options.Observe = printer.Check
	results, err := verify.Run(ctx, client, options)
	found.Results = results
	if len(results) > 0 {
		err = errors.Join(err, printer.Verified(results))
	}
	if err != nil {
		return err
	}
	if !verify.Passed(results) {
		return status(exitFailed)
	}
	return nil
}

func (s *session) verifyOptions(ctx context.Context, client *kube.Client) (verify.Options, error) {
	master, err := s.machine(client.Master())
	if err != nil {
		return verify.Options{}, err
	}
	image, err := probeImage(ctx, master)
	return verify.Options{
		Image:    image,
		Domain:   s.cluster.Network.Domain,
		Dual:     s.cluster.Network.Dual(),
		DNS6:     s.cluster.Network.ServiceAddress6(10),
		Outside:  s.file.Cluster.Verify.Outside,
		Port:     s.cluster.Overlay.Port,
		Machines: s.verifyMachines(),
	}, err
}

func (s *session) verifyMachines() []verify.Machine {
	var machines []verify.Machine
	for _, m := range s.cluster.Machines {
		machine := verify.Machine{Name: m.Name, Role: m.Role, Address: m.Address, Address6: m.Address6}
		if client, ok := s.clients[m.Name]; ok {
			machine.Dial, machine.ReadFile = client.DialContext, client.ReadFile
			machine.Overlay = func(ctx context.Context) mesh.Seen { return seeOverlay(ctx, client) }
			machine.Sniff = func(ctx context.Context, request wire.Request, ready func(), hold io.Reader) (wire.Report, error) {
				return sniff(ctx, client, request, ready, hold)
			}
		}
		machines = append(machines, machine)
	}
	return machines
}
