package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"provision/components"
	"provision/provisioner/kube"
	"provision/provisioner/run"
	"provision/provisioner/verify"
)

// drillFlags are what verify is told of drills.
type drillFlags struct {
	failover          string
	powerOff, powerOn string
	hold              time.Duration
	yes               bool
}

// kinds are the drills that the flag names.
func (f drillFlags) kinds() ([]verify.Kind, error) {
	if f.failover == "all" {
		return verify.Kinds, nil
	}
	if slices.Contains(verify.Kinds, verify.Kind(f.failover)) {
		return []verify.Kind{verify.Kind(f.failover)}, nil
	}
	return nil, misuse{fmt.Errorf("--failover %s: the drills are %s and all", f.failover, kindNames())}
}

func kindNames() string {
	var all []string
	for _, kind := range verify.Kinds {
		all = append(all, string(kind))
	}
	return strings.Join(all, ", ")
}

// power is how the machines' real power is switched; nil: it is played.
func (f drillFlags) power() (verify.Power, error) {
	if f.powerOff == "" && f.powerOn == "" {
		return nil, nil
	}
	power, err := verify.ParseCommands(f.powerOff, f.powerOn)
	if err != nil {
		return nil, misuse{err}
	}
	return power, nil
}

// drills runs the drills that the flags name, each with a session of its own:
// those of a machine that was cut off are not worth much. did is told each, also
// one that harmed nothing. Of several, those that the cluster would not survive
// are named and left out.
func (a *app) drills(ctx context.Context, path string, flags drillFlags, did func(cluster string, result verify.Drill)) error {
	kinds, err := flags.kinds()
	if err != nil {
		return err
	}
	failed, refusals := false, []error{}
	for _, kind := range kinds {
		result, err := a.drill(ctx, path, kind, flags, did)
		var refused verify.RefusedError
		if errors.As(err, &refused) && len(kinds) > 1 {
			a.printer().Say("left out: ", fmt.Errorf("%s: %w", kind, err))
			refusals = append(refusals, fmt.Errorf("%s: %w", kind, err))
			continue
		}
		if err != nil {
			return err
		}
		failed = failed || !result.Passed
	}
	if len(refusals) == len(kinds) {
		return errors.Join(refusals...)
	}
	if failed {
		return status(exitFailed)
	}
	return nil
}

// drill runs one, with the lock held: nobody changes a cluster that is harmed.
func (a *app) drill(ctx context.Context, path string, kind verify.Kind, flags drillFlags, did func(string, verify.Drill)) (result verify.Drill, err error) {
	power, err := flags.power()
	if err != nil {
		return result, err
	}
	s, err := a.openWithout(ctx, path)
	if err != nil {
		return result, err
	}
	defer s.close()
	client, err := s.api(ctx)
	if err != nil {
		return result, err
	}
	options, err := s.verifyOptions(ctx, client)
	if err != nil {
		return result, err
	}
	field := s.field()
	defer field.close()
	lock, err := field.lock(ctx, "verify --failover "+string(kind))
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	for i, m := range options.Machines {
		if line, ok := field.lines[m.Name]; ok {
			m.Dial, m.Run, m.Reconnect, m.SSHPort = line.DialContext, line.Run, line.reconnect, line.port
			options.Machines[i] = m
		}
	}
	printer := a.printer()
	result, err = verify.RunDrill(ctx, kind, client, verify.DrillOptions{
		Options: options,
		Power:   power,
		Detect:  s.cluster.Detect,
		Evict:   s.cluster.Evict,
		Hold:    flags.hold,
		API: func(ctx context.Context, master string) (verify.Cluster, error) {
			return field.api(ctx, master, "", netip.AddrPort{})
		},
		Inside: func(ctx context.Context, machine, master string, asPods bool) (components.API, error) {
			at := netip.AddrPortFrom(loopback, components.PortBalancer)
			if asPods {
				at = netip.AddrPortFrom(s.cluster.Network.ServiceAddress(1), portService)
			}
			return field.api(ctx, master, machine, at)
		},
		Consent: func(p verify.DrillPlan) error {
			printer.DrillPlan(p)
			if flags.yes {
				return nil
			}
			return a.agree(ctx, "Do this?")
		},
		Tell: printer.Moment,
	})
	did(s.cluster.Name, result)
	if len(result.Measures) > 0 {
		err = errors.Join(err, printer.Drill(result)) // measured is measured, also where the clean-up failed
	}
	return result, err
}

// portService is that of the Service "kubernetes".
const portService = 443

// field is where a drill plays: connections that are made anew where a drill
// has cut them, and clients of the API over them.
type field struct {
	session *session
	lines   map[string]*line
	apis    []*kube.Client
}

func (s *session) field() *field {
	f := &field{session: s, lines: map[string]*line{}}
	for _, m := range s.file.Machines {
		if client, ok := s.clients[m.Name]; ok {
			f.lines[m.Name] = &line{client: client, machine: m, dial: s.app.dial, port: int(m.SSH.Port)}
		}
	}
	return f
}

func (f *field) close() {
	for _, client := range f.apis {
		client.Close()
	}
	for _, line := range f.lines {
		line.now().Close()
	}
}

// lock takes the cluster's lock, by the agent that the first master has.
func (f *field) lock(ctx context.Context, reason string) (*run.Lock, error) {
	env := f.session.env(reason, nil, nil) // it plans nothing
	env.Machine = func(name string) (components.Machine, error) {
		if line, ok := f.lines[name]; ok {
			return line, nil
		}
		return f.session.machine(name)
	}
	for _, name := range env.Masters {
		line, ok := f.lines[name]
		if !ok {
			continue
		}
		out, err := line.Run(ctx, []string{"sh", "-c", "ls -t " + components.Root + "/agent-*/agent"}, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: it has no agent that could keep the lock: %w", name, err)
		}
		env.Agent, _, _ = strings.Cut(string(out), "\n")
		break
	}
	return run.Acquire(ctx, env)
}

// api returns a client with the identity that lies on a master: of that master's
// API server, or of whatever a machine reaches at that address.
func (f *field) api(ctx context.Context, master, machine string, at netip.AddrPort) (*kube.Client, error) {
	own, ok := f.lines[master]
	if !ok {
		return nil, fmt.Errorf("%s: no connection to it", master)
	}
	endpoint := kube.Endpoint{Master: own, Address: own.machine.Address}
	if machine != "" {
		via, ok := f.lines[machine]
		if !ok {
			return nil, fmt.Errorf("%s: no connection to it", machine)
		}
		endpoint = kube.Endpoint{Master: through{own, via}, Address: at.Addr(), Port: at.Port()}
	}
	client, err := kube.New(ctx, endpoint)
	if err == nil {
		f.apis = append(f.apis, client)
	}
	return client, err
}
