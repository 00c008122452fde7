package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"provision/overlay"
	"provision/provisioner/mesh"
)

// Bounds of waiting for what the agents measure: one that is just starting looks
// for its peers first, and for the largest packet that arrives after that.
const (
	firstAnswer  = 5 * time.Second
	pathPatience = 25 * time.Second
	pathPause    = 500 * time.Millisecond
)

// measured is what the machines' agents measure of their tunnels, as it comes.
type measured struct {
	done map[string]chan struct{}
	mu   sync.Mutex
	on   map[string]mesh.Seen // to be read when the machine's done is closed
}

// measure asks every machine's agent until it knows the path to all others.
func (s *stage) measure(ctx context.Context) *measured {
	m := &measured{done: map[string]chan struct{}{}, on: map[string]mesh.Seen{}}
	for _, machine := range s.options.Machines {
		done := make(chan struct{})
		m.done[machine.Name] = done
		if machine.Overlay == nil {
			close(done)
			continue
		}
		go func() {
			defer close(done)
			seen := s.waitForPaths(ctx, machine)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.on[machine.Name] = seen
		}()
	}
	return m
}

// waitForPaths returns the agent's last word, which is its first where that says all.
func (s *stage) waitForPaths(ctx context.Context, machine Machine) mesh.Seen {
	begin := time.Now()
	for {
		seen := machine.Overlay(ctx)
		waiting := func(other Machine) bool {
			if other.Name == machine.Name {
				return false
			}
			i := slices.IndexFunc(seen.Status.Peers, func(p overlay.PeerStatus) bool { return p.Name == other.Name })
			if i < 0 || seen.Status.Peers[i].RoundTripMS == 0 {
				return time.Since(begin) < firstAnswer
			}
			return seen.Status.Peers[i].PathMTU == 0
		}
		if seen.Err != nil || !slices.ContainsFunc(s.options.Machines, waiting) || time.Since(begin) > pathPatience {
			return seen
		}
		select {
		case <-ctx.Done():
			return seen
		case <-time.After(pathPause):
		}
	}
}

// pathMTU compares what arrives with what pods send.
func (s *stage) pathMTU() []subject {
	var all []subject
	for _, from := range s.options.Machines {
		for _, to := range s.options.Machines {
			if from.Name == to.Name {
				continue
			}
			all = append(all, subject{name: from.Name + " → " + to.Name, patience: pathPatience + tryPatience, try: func(ctx context.Context) (string, error) {
				select {
				case <-s.paths.done[from.Name]:
				case <-ctx.Done():
					return "", errSkip("its overlay agent does not answer")
				}
				if from.Overlay == nil {
					return "", errSkip("the machine cannot be reached")
				}
				s.paths.mu.Lock()
				defer s.paths.mu.Unlock()
				return narrowest(s.paths.on[from.Name], to.Name)
			}})
		}
	}
	return all
}

// narrowest says what a machine measured to another one.
func narrowest(seen mesh.Seen, to string) (string, error) {
	if seen.Err != nil {
		return "", errSkip(seen.Err.Error())
	}
	if age := seen.Now.Sub(seen.Status.Updated); age > overlay.Stale {
		return "", errSkip(fmt.Sprintf("its overlay agent last spoke %s ago", age.Round(time.Second)))
	}
	i := slices.IndexFunc(seen.Status.Peers, func(p overlay.PeerStatus) bool { return p.Name == to })
	if i < 0 {
		return "", errSkip("its overlay agent does not know " + to)
	}
	size, arrives := seen.Status.MTU, seen.Status.Peers[i].PathMTU
	switch {
	case seen.Status.Peers[i].RoundTripMS == 0:
		return "", errSkip(to + " answers nothing through the tunnel")
	case arrives == 0:
		return "", errSkip("its overlay agent has not found it out yet")
	case arrives >= size:
		return fmt.Sprintf("%d bytes", size), nil
	case arrives < overlay.MinMTU:
		return "", errFinal{fmt.Errorf("packets of %d bytes do not arrive at %s, of %d they do, and a tunnel needs %d: the network between the machines must carry packets of %d bytes",
			size, to, arrives, overlay.MinMTU, overlay.MinMTU+overlay.Overhead)}
	}
	return "", errFinal{fmt.Errorf("packets of %d bytes do not arrive at %s, of %d they do: set overlay { mtu = %d }", size, to, arrives, arrives)}
}
