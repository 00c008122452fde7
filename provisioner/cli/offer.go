package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/handover"
	"provision/provisioner/fanout"
	"provision/provisioner/plan"
)

// queue prepares a run's handing over: how many machines need the agent and the
// bundle, and which have them. Workers come first: masters have other things to do.
func (s *session) queue(p plan.Plan, found plan.Facts) {
	var agents, bundles []string
	for _, role := range []components.Role{components.Worker, components.Master} {
		for _, m := range s.cluster.Machines {
			f := found.Machines[m.Name]
			if m.Role == role && f.Agents[s.cluster.Agent()] {
				agents = append(agents, m.Name)
			}
			if m.Role == role && slices.Contains(f.Bundles, s.cluster.Bundle.ID) {
				bundles = append(bundles, m.Name)
			}
		}
	}
	s.queues = map[handover.Parcel]*fanout.Queue{
		handover.Agent:  fanout.New(count[actions.UploadAgent](p), agents, s.offer(handover.Agent)),
		handover.Bundle: fanout.New(count[actions.Unpack](p), bundles, s.offer(handover.Bundle)),
	}
}

// count is how many actions of a kind a plan has.
func count[A components.Action](p plan.Plan) int {
	n := 0
	for _, phase := range p.Phases {
		for _, stage := range phase.Stages {
			for _, job := range stage.Jobs {
				for _, action := range job.Actions {
					if _, is := action.(A); is {
						n++
					}
				}
			}
		}
	}
	return n
}

// Bounds of an offer's beginning and end, and of what a machine says of it.
const (
	offerWithin = 10 * time.Second
	offerEnds   = 3 * time.Second
	maxPlace    = 4 << 10 // bytes
)

// offer has a machine give something to one other, which is told where and how it
// shows that it is meant. The address is the file's, whatever the machine says.
func (s *session) offer(what handover.Parcel) fanout.Offer {
	return func(ctx context.Context, from string, without map[string]bool) (source handover.Source, end func(), err error) {
		on, err := s.machine(from)
		if err != nil {
			return source, nil, err
		}
		at := slices.IndexFunc(s.cluster.Machines, func(m components.MachineSpec) bool { return m.Name == from })
		address := s.cluster.Machines[at].Address
		source = handover.Source{Token: handover.NewToken(), Have: slices.Sorted(maps.Keys(without))}
		line, err := json.Marshal(handover.Offer{Token: source.Token, Without: source.Have})
		if err != nil {
			return source, nil, err
		}
		argv := []string{s.cluster.Agent(), "serve", string(what), "--address", address.String()}
		if what == handover.Bundle {
			source.Manifest = s.bundle.RawManifest()
			argv = append(argv, "--root", components.Root, "--id", s.cluster.Bundle.ID)
		}
		port, end, err := listening(ctx, on, argv, append(line, '\n'))
		if err != nil {
			return source, nil, fmt.Errorf("%s: %w", from, err)
		}
		source.At = netip.AddrPortFrom(address, port)
		return source, end, nil
	}
}

// listening runs a command that says at which port it listens and goes on until its
// input ends, which end brings about.
func listening(ctx context.Context, on streaming, argv []string, line []byte) (port uint16, end func(), err error) {
	running, stop := context.WithCancel(ctx)
	open, hold := io.Pipe()
	heard := &place{told: make(chan handover.Place, 1)}
	ended := make(chan error, 1)
	go func() {
		ended <- on.RunStream(running, argv, io.MultiReader(bytes.NewReader(line), open), heard, nil)
		stop()
	}()
	end = func() {
		hold.Close()
		defer stop()
		select {
		case <-running.Done():
		case <-time.After(offerEnds):
		}
	}
	select {
	case at := <-heard.told:
		if at.Port != 0 {
			return at.Port, end, nil
		}
		err = errors.New("it listens nowhere")
	case err = <-ended:
		if err == nil {
			err = errors.New("it ended before it listened")
		}
	case <-time.After(offerWithin):
		err = fmt.Errorf("it did not listen within %s", offerWithin)
	}
	end()
	return 0, nil, err
}

// place takes in the first line of an offer's output.
type place struct {
	told chan handover.Place
	text []byte
	done bool
}

func (p *place) Write(b []byte) (int, error) {
	if p.done {
		return len(b), nil
	}
	if p.text = append(p.text, b...); len(p.text) > maxPlace {
		return 0, io.ErrShortWrite
	}
	line, _, whole := bytes.Cut(p.text, []byte("\n"))
	if !whole {
		return len(b), nil
	}
	p.done = true
	var at handover.Place
	err := json.Unmarshal(line, &at)
	p.told <- at
	return len(b), err
}
