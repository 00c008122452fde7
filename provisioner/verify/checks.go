package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check is one kind of thing that must work.
type Check struct {
	Name string
	What string // a sentence
	// subjects returns what to look at, given what was set up.
	subjects func(*stage) []subject
}

// Checks are all of them, in the order in which a person looks for a fault.
var Checks = []Check{
	{"nodes ready", "Every machine of the file is a Node and Ready.", (*stage).nodesReady},
	{"probes", "Pods start on every machine.", (*stage).probesRun},
	{"exec", "Commands run in pods: the API server reaches every kubelet.", (*stage).execWorks},
	{"overlay", "Every machine has announced its end of the tunnel, and of which kind it is.", (*stage).overlayModes},
	{"pod to pod", "A pod on each machine reaches the pod on every other one.", (*stage).podToPod},
	{"large answers", "100 kB come through between machines: the MTU is right.", (*stage).largeAnswers},
	{"host to pod", "Each machine itself reaches the pods of the others.", (*stage).hostToPod},
	{"service", "A pod on each machine reaches a Service.", (*stage).serviceFromPods},
	{"service from host", "Each machine itself reaches a Service.", (*stage).serviceFromHosts},
	{"same machine", "A pod reaches a Service whose pod is on its own machine.", (*stage).sameMachine},
	{"hairpin", "A pod reaches itself through its Service.", (*stage).hairpin},
	{"node port", "Each machine's NodePort leads to a pod on another one.", (*stage).nodePorts},
	{"dns", "A pod on each machine looks a Service up by name.", (*stage).dns},
	{"path mtu", "Packets as large as pods send them arrive, on each pair of machines.", (*stage).pathMTU},
	{"encryption", "Nothing that pods send each other is in clear on any machine's links.", (*stage).encryption},
	{"dns outside", "A pod on each machine looks up what only somebody outside knows.", (*stage).dnsOutside},
	{"outside", "A pod on each machine reaches a server outside.", (*stage).outside},
}

// inBoth are the checks that are made a second time with IPv6, where the cluster
// has both families.
var inBoth = []string{"pod to pod", "large answers", "host to pod", "service", "service from host", "same machine", "hairpin", "node port", "dns"}

// eachPod makes a subject of every machine, for checks that begin in its pod.
func (s *stage) eachPod(set string, try func(ctx context.Context, from pod) (string, error)) []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			from, err := s.source(set, m.Name)
			if err != nil {
				return "", err
			}
			return try(ctx, from)
		}})
	}
	return all
}

// eachPair makes a subject of every ordered pair of machines.
func (s *stage) eachPair(try func(ctx context.Context, from Machine, to pod) error) []subject {
	var all []subject
	for _, from := range s.options.Machines {
		for _, to := range s.options.Machines {
			if from.Name != to.Name {
				all = append(all, s.pair(from, to, try))
			}
		}
	}
	return all
}

func (s *stage) pair(from, to Machine, try func(ctx context.Context, from Machine, to pod) error) subject {
	return subject{name: from.Name + " → " + to.Name, try: func(ctx context.Context) (string, error) {
		target := s.pods[probeSet][to.Name]
		switch {
		case !target.ready:
			return "", errSkip("no pod runs on " + to.Name)
		case target.address == "":
			return "", errFinal{errors.New("the pod there has no address of IPv6")}
		}
		return "", try(ctx, from, target)
	}}
}

// source returns the pod on a machine that is to ask.
func (s *stage) source(set, machine string) (pod, error) {
	from := s.pods[set][machine]
	switch {
	case !from.ready:
		return from, errSkip("no pod runs on " + machine)
	case s.mute[machine] != nil:
		return from, errSkip("no command runs in pods on " + machine)
	}
	return from, nil
}

// is says that the greeting comes from where it should.
func is(got greeting, err error, pod string) error {
	if err == nil && got.Pod != pod {
		return fmt.Errorf("pod %s answered for %s", got.Pod, pod)
	}
	return err
}

func (s *stage) nodesReady() []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			n, there := s.nodes[m.Name]
			switch {
			case !there:
				return "", errFinal{errors.New("there is no Node of that name")}
			case !n.ready:
				return "", errFinal{errors.New(n.why)}
			case n.address != m.Address.String():
				return "", errFinal{fmt.Errorf("its address is %s, in the file %s", n.address, m.Address)}
			}
			return "", nil
		}})
	}
	return all
}

func (s *stage) probesRun() []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			for _, set := range []string{probeSet, mateSet} {
				p := s.pods[set][m.Name]
				switch {
				case p.name == "":
					return "", errFinal{errors.New("no pod was made for it")}
				case !p.ready:
					return "", errFinal{fmt.Errorf("pod %s: %s", p.name, p.why)}
				}
			}
			return "", nil
		}})
	}
	return all
}

func (s *stage) execWorks() []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			if !s.pods[probeSet][m.Name].ready {
				return "", errSkip("no pod runs there")
			}
			if err := s.mute[m.Name]; err != nil {
				return "", errFinal{err}
			}
			return "", nil
		}})
	}
	return all
}

func (s *stage) overlayModes() []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			if mode := s.nodes[m.Name].mode; mode != "" {
				return "WireGuard, " + mode, nil
			}
			return "", errFinal{errors.New("its Node carries no announcement of the overlay's")}
		}})
	}
	return all
}

func (s *stage) podToPod() []subject {
	return s.eachPair(func(ctx context.Context, from Machine, to pod) error {
		source, err := s.source(probeSet, from.Name)
		if err != nil {
			return err
		}
		got, err := s.ask(ctx, source, to.address, probePort)
		if err := is(got, err, to.name); err != nil {
			return err
		}
		if got.Client != source.address {
			return errFinal{fmt.Errorf("it arrives as %s, not as the pod's own %s", got.Client, source.address)}
		}
		return nil
	})
}

// largeAnswers go around in a ring: the way there and back again of a pair has
// the same MTU, and each machine is in two pairs.
func (s *stage) largeAnswers() []subject {
	var all []subject
	machines := s.options.Machines
	for i, from := range machines {
		to := machines[(i+1)%len(machines)]
		if from.Name == to.Name {
			continue
		}
		all = append(all, s.pair(from, to, func(ctx context.Context, from Machine, to pod) error {
			source, err := s.source(probeSet, from.Name)
			if err != nil {
				return err
			}
			size, err := s.inPod(ctx, source, "get", "--timeout", "2s", "--size", urlOf(to.address, probePort, "/echo-size?bytes=100000"))
			if err == nil && strings.TrimSpace(size) != "100000" {
				err = fmt.Errorf("%s bytes came of 100000", strings.TrimSpace(size))
			}
			return err
		}))
	}
	return all
}

func (s *stage) hostToPod() []subject {
	return s.eachPair(func(ctx context.Context, from Machine, to pod) error {
		got, err := s.askFrom(ctx, from, to.address, probePort)
		return is(got, err, to.name)
	})
}

func (s *stage) serviceFromPods() []subject {
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		_, err := s.ask(ctx, from, s.services["all"].address, 80)
		return "", err
	})
}

func (s *stage) serviceFromHosts() []subject {
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			_, err := s.askFrom(ctx, m, s.services["all"].address, 80)
			return "", err
		}})
	}
	return all
}

func (s *stage) sameMachine() []subject {
	return s.eachPod(mateSet, func(ctx context.Context, from pod) (string, error) {
		got, err := s.ask(ctx, from, s.services["near"].address, 80)
		return "", is(got, err, s.pods[probeSet][from.node].name)
	})
}

func (s *stage) hairpin() []subject {
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		got, err := s.ask(ctx, from, s.services["near"].address, 80)
		return "", is(got, err, from.name)
	})
}

// nodePorts are asked from the next machine, so that the way there is real: at the
// machine's address, of whichever family that is, and then at the one of IPv6
// that it may have beside it.
func (s *stage) nodePorts() []subject {
	var all []subject
	machines := s.options.Machines
	for i, m := range machines {
		from, address := machines[(i+1)%len(machines)], m.Address
		if s.six {
			address = m.Address6
		}
		if !address.IsValid() {
			continue
		}
		all = append(all, subject{name: m.Name, try: func(ctx context.Context) (string, error) {
			if s.target == "" {
				return "", errSkip("no pod runs to answer")
			}
			got, err := s.askFrom(ctx, from, address.String(), s.services["one"].nodePort)
			return "asked from " + from.Name + ", answered on " + s.target, is(got, err, s.pods[probeSet][s.target].name)
		}})
	}
	return all
}

func (s *stage) dns() []subject {
	if s.six {
		return s.dnsInIPv6()
	}
	name := "kubernetes.default.svc." + s.options.Domain
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		text, err := s.inPod(ctx, from, "dns", "--timeout", "2s", name)
		if err == nil && !slices.Contains(strings.Fields(text), s.apiAddr) {
			err = fmt.Errorf("%s is %s, not %s", name, strings.Join(strings.Fields(text), ", "), s.apiAddr)
		}
		return "", err
	})
}

// dnsInIPv6 asks the cluster's DNS at its address of IPv6 for one of IPv6: pods
// themselves are told its IPv4 address.
func (s *stage) dnsInIPv6() []subject {
	name, want := "all."+s.namespace+".svc."+s.options.Domain+".", s.services["all"].address
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		if want == "" {
			return "", errNoAddress
		}
		text, err := s.inPod(ctx, from, "dns", "--timeout", "2s", "--server", s.options.DNS6.String(), name)
		if err == nil && !slices.Contains(strings.Fields(text), want) {
			err = fmt.Errorf("%s is %s, not %s", name, strings.Join(strings.Fields(text), ", "), want)
		}
		return "", err
	})
}

// skipped is the one subject of a check that there is nothing to check for.
func skipped(why string) []subject {
	return []subject{{name: "-", try: func(context.Context) (string, error) { return "", errSkip(why) }}}
}
