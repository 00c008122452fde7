package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provision/components/wire"
	"provision/provisioner/kube"
	"provision/provisioner/mesh"
	"provision/provisioner/report"
	"provision/provisioner/verify"
)

// drillFlags are what verify is told of drills.
type drillFlags struct {
	failover          string
	powerOff, powerOn string
	yes               bool
}

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

With --failover worker a worker's power is cut instead, without goodbye, while a client
keeps asking a Service whose pods run there too, and it is measured how long it takes
until the machine is known to be dead, its endpoints are gone and replicas serve again
elsewhere. The power comes back in the end, whatever happens. In the lab the machines'
power is at hand; elsewhere say how it is switched:

    provision verify cluster.hcl --failover worker \
      --power-off 'virsh destroy {machine}' --power-on 'virsh start {machine}'

With --junit and --html the results go to files as well: for CI systems, and as a page
for people, with each drill's timeline drawn. The page needs nothing but itself. Both
are written where something fails, too.

    provision verify cluster.hcl --junit verify.xml --html verify.html

Exit status: 0 everything works, 1 something does not.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.report(files, func(found *report.Report) error {
				switch drill.failover {
				case "":
					return a.verify(cmd.Context(), args[0], found)
				case "worker":
					return a.drill(cmd.Context(), args[0], drill, found)
				}
				return misuse{fmt.Errorf("--failover %s: the drill there is: worker", drill.failover)}
			})
		},
	})
	cmd.Flags().StringVar(&drill.failover, "failover", "", "cut the power of a `machine` of that kind (worker) and measure what follows")
	cmd.Flags().StringVar(&drill.powerOff, "power-off", "", "command that cuts the power of {machine}")
	cmd.Flags().StringVar(&drill.powerOn, "power-on", "", "command that gives it back")
	cmd.Flags().BoolVar(&drill.yes, "yes", false, "do not ask before the power is cut")
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

// drill cuts a worker's power and measures what follows.
func (a *app) drill(ctx context.Context, path string, flags drillFlags, found *report.Report) error {
	power, err := a.power(path, flags)
	if err != nil {
		return err
	}
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
	result, err := verify.WorkerPower(ctx, client, verify.DrillOptions{
		Options: options,
		Power:   power,
		Consent: func(p verify.DrillPlan) error {
			printer.DrillPlan(p)
			if flags.yes {
				return nil
			}
			return a.agree(ctx, "Cut the power of "+p.Machine+"?")
		},
		Tell: printer.Moment,
	})
	if len(result.Timeline) > 0 {
		found.Drills = append(found.Drills, result)
	}
	if len(result.Measures) > 0 {
		err = errors.Join(err, printer.Drill(result)) // measured is measured, also where the clean-up failed
	}
	if err != nil {
		return err
	}
	if !result.Passed {
		return status(exitFailed)
	}
	return nil
}

// power is how machines are switched off: as the flags say, or by the lab that
// the file belongs to.
func (a *app) power(path string, flags drillFlags) (verify.Power, error) {
	if flags.powerOff != "" || flags.powerOn != "" {
		power, err := verify.ParseCommands(flags.powerOff, flags.powerOn)
		if err != nil {
			return nil, misuse{err}
		}
		return power, nil
	}
	dir := filepath.Dir(path)
	if _, err := os.Stat(filepath.Join(dir, "lab.json")); err != nil {
		return nil, misuse{errors.New("this is no lab: say with --power-off and --power-on how a machine's power is switched")}
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	lab := filepath.Join(filepath.Dir(program), "lab")
	return verify.Commands{
		OffArgv: []string{lab, "kill", "{machine}", "--dir", dir},
		OnArgv:  []string{lab, "start", "{machine}", "--dir", dir},
	}, nil
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
