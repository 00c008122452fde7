package verify

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"provision/components"
)

// etcdMetrics is where a member tells of itself, in clear, to its own machine.
const etcdMetrics = "http://127.0.0.1:2381/metrics"

// memberState is what a member of etcd says of its cluster.
type memberState struct {
	leads     bool // it is the leader
	hasLeader bool
}

// askMember asks the member on a master, over a connection that begins there.
func askMember(ctx context.Context, m Machine) (memberState, error) {
	ctx, cancel := context.WithTimeout(ctx, tryPatience)
	defer cancel()
	var found memberState
	if m.Dial == nil {
		return found, fmt.Errorf("%s: it cannot be reached", m.Name)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return m.Dial(ctx, network, address)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, etcdMetrics, nil)
	if err != nil {
		return found, err
	}
	response, err := client.Do(request)
	if err != nil {
		return found, fmt.Errorf("%s: its etcd does not answer: %w", m.Name, err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(http.MaxBytesReader(nil, response.Body, 8<<20))
	seen := 0
	for seen < 2 && lines.Scan() {
		switch lines.Text() {
		case "etcd_server_is_leader 1":
			found.leads, seen = true, seen+1
		case "etcd_server_has_leader 1":
			found.hasLeader, seen = true, seen+1
		case "etcd_server_is_leader 0", "etcd_server_has_leader 0":
			seen++
		}
	}
	if seen < 2 {
		return found, fmt.Errorf("%s: its etcd does not say who leads: %w", m.Name, lines.Err())
	}
	return found, nil
}

// leaderOf finds the master whose member leads, and wants every member to know
// of a leader: a drill begins with an etcd that is well.
func leaderOf(ctx context.Context, machines []Machine) (Machine, error) {
	var leader Machine
	for _, m := range masters(machines) {
		state, err := askMember(ctx, m)
		if err != nil {
			return leader, err
		}
		if !state.hasLeader {
			return leader, fmt.Errorf("%s: its etcd finds no quorum", m.Name)
		}
		if state.leads {
			leader = m
		}
	}
	if leader.Name == "" {
		return leader, fmt.Errorf("no master leads etcd at this moment: try again")
	}
	return leader, nil
}

func masters(machines []Machine) []Machine { return ofRole(machines, components.Master) }

func workers(machines []Machine) []Machine { return ofRole(machines, components.Worker) }

func ofRole(machines []Machine, role components.Role) []Machine {
	var found []Machine
	for _, m := range machines {
		if m.Role == role {
			found = append(found, m)
		}
	}
	return found
}

// succession looks for the master that leads etcd next.
type succession struct {
	mu   sync.Mutex
	name string
	at   time.Time

	stop context.CancelFunc
	done sync.WaitGroup
}

// leaderEvery is the pause between two looks at one member: its metrics are long.
const leaderEvery = 200 * time.Millisecond

// follow looks at these members until one of them leads.
func follow(ctx context.Context, candidates []Machine) *succession {
	ctx, cancel := context.WithCancel(ctx)
	s := &succession{stop: cancel}
	for _, m := range candidates {
		s.done.Go(func() {
			for ctx.Err() == nil {
				if state, err := askMember(ctx, m); err == nil && state.leads {
					s.mu.Lock()
					if s.name == "" {
						s.name, s.at = m.Name, time.Now()
					}
					s.mu.Unlock()
					cancel()
					return
				}
				select {
				case <-ctx.Done():
				case <-time.After(leaderEvery):
				}
			}
		})
	}
	return s
}

func (s *succession) found() (name string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name, s.at
}

func (s *succession) finish() {
	s.stop()
	s.done.Wait()
}
