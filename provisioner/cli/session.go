package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"provision/components"
	"provision/components/handover"
	"provision/provisioner/bundle"
	"provision/provisioner/config"
	"provision/provisioner/facts"
	"provision/provisioner/fanout"
	"provision/provisioner/kube"
	"provision/provisioner/plan"
	"provision/provisioner/ssh"
)

// session is one command's view of the cluster: the file, the bundle, and a
// connection to each machine that answers.
type session struct {
	app     *app
	file    *config.File
	bundle  *bundle.Bundle // nil where nothing of it is sent
	cluster components.Cluster
	clients map[string]*ssh.Client
	unreach map[string]error         // why a machine does not answer
	leaving []components.MachineSpec // what the cluster has and the file does not: see meet
	keepers []string                 // those of leaving that have a share in the lock

	backup   *opened                           // that is being restored, or nil
	claim    claim                             // on the lock; made when first needed
	answered bool                              // the API, at an earlier look of a run that goes by what it says
	alone    bool                              // the operator sends everything itself
	queues   map[handover.Parcel]*fanout.Queue // who gets what from whom; none: the operator sends to everybody
	// generation is the highest of the lock that any machine has told of.
	generation uint64
	// patience bounds a look at one machine; 0: it has what it needs.
	patience time.Duration

	mu   sync.Mutex
	kube *kube.Client            // of a master that was ready when it was asked for
	own  map[string]*kube.Client // by master
}

// open loads the file, finds the bundle and connects to every machine. A
// machine that cannot be reached is no error here: see session.unreach.
func (a *app) open(ctx context.Context, path string) (*session, error) {
	file, err := a.load(path)
	if err != nil {
		return nil, err
	}
	b, err := a.bundle(file.Cluster.Version)
	if err != nil {
		return nil, err
	}
	s, err := a.with(file, b)
	if err != nil {
		return nil, err
	}
	s.connect(ctx, file.Machines)
	return s, nil
}

// with is a session of a file, its addons and a bundle, without any connection.
func (a *app) with(file *config.File, b *bundle.Bundle) (*session, error) {
	cluster := plan.Wanted(file, b.Components(), b.Manifest().Kubernetes)
	var err error
	if cluster.Own, err = a.addons(file, cluster.Version); err != nil {
		return nil, err
	}
	return &session{
		app: a, file: file, bundle: b, cluster: cluster,
		clients: map[string]*ssh.Client{}, unreach: map[string]error{},
	}, nil
}

// openWithout connects to every machine without a bundle: for what sends none of it.
func (a *app) openWithout(ctx context.Context, path string) (*session, error) {
	s, err := a.without(path)
	if err == nil {
		s.connect(ctx, s.file.Machines)
	}
	return s, err
}

// without is a session without a bundle or any connection.
func (a *app) without(path string) (*session, error) {
	file, err := a.load(path)
	if err != nil {
		return nil, err
	}
	return &session{
		app: a, file: file, cluster: plan.Wanted(file, components.Bundle{}, file.Cluster.Version),
		clients: map[string]*ssh.Client{}, unreach: map[string]error{},
	}, nil
}

// openAPI connects to the masters alone, without a bundle, and returns a client
// of the API server: a dead worker keeps nobody from asking about it.
func (a *app) openAPI(ctx context.Context, path string) (*session, *kube.Client, error) {
	s, err := a.without(path)
	if err != nil {
		return nil, nil, err
	}
	client, err := s.connectAPI(ctx)
	if err != nil {
		s.close()
		return nil, nil, err
	}
	return s, client, nil
}

// errSpared is why a master has no connection whose answer was not needed.
var errSpared = errors.New("not waited for: another master answered")

// connectAPI dials the masters, all at once, and returns a client of the first
// whose API server is ready: a dead master costs nobody the wait for it.
func (s *session) connectAPI(ctx context.Context) (*kube.Client, error) {
	masters := slices.DeleteFunc(slices.Clone(s.file.Machines), func(m config.Machine) bool { return m.Role != config.Master })
	type outcome struct {
		name   string
		client *ssh.Client
		err    error
	}
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome, len(masters))
	dialer := s.app.dialer()
	for _, m := range masters {
		s.unreach[m.Name] = errSpared
		go func() {
			client, err := dialer.Dial(dialing, target(m))
			outcomes <- outcome{m.Name, client, err}
		}()
	}
	var why error
	for left := len(masters); left > 0; left-- {
		got := <-outcomes
		if got.err != nil {
			s.unreach[got.name] = got.err
			continue
		}
		delete(s.unreach, got.name)
		s.clients[got.name] = got.client
		client, err := s.api(ctx)
		if err == nil {
			go func() { // whoever still answers is let go
				for range left - 1 {
					if late := <-outcomes; late.client != nil {
						late.client.Close()
					}
				}
			}()
			return client, nil
		}
		why = err
	}
	if why == nil {
		return nil, s.lostMasters()
	}
	return nil, why
}

// connect dials machines, all at once.
func (s *session) connect(ctx context.Context, machines []config.Machine) {
	var all sync.WaitGroup
	var mu sync.Mutex
	dialer := s.app.dialer()
	for _, m := range machines {
		all.Go(func() {
			client, err := dialer.Dial(ctx, target(m))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.unreach[m.Name] = err
				return
			}
			if s.bundle != nil {
				client.UseAgent(s.cluster.Agent())
			}
			s.clients[m.Name] = client
		})
	}
	all.Wait()
}

func (s *session) close() {
	s.claim.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube != nil {
		s.kube.Close()
	}
	for _, client := range s.own {
		client.Close()
	}
	for _, client := range s.clients {
		client.Close()
	}
	if s.bundle != nil {
		s.bundle.Close()
	}
}

// machine returns the connection to a machine.
func (s *session) machine(name string) (*ssh.Client, error) {
	if client, ok := s.clients[name]; ok {
		return client, nil
	}
	if err, ok := s.unreach[name]; ok {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return nil, fmt.Errorf("%s: no machine of that name in %s", name, s.file.Path)
}

// look gathers the facts of every machine that answers, and of the cluster; those
// named are passed over. A machine that does not answer is left out from then on:
// see session.unreach. The error is ctx's.
func (s *session) look(ctx context.Context, without ...string) (plan.Facts, error) {
	var cluster components.ClusterFacts
	var asked sync.WaitGroup
	asked.Go(func() { cluster = s.lookAtCluster(ctx) })
	found, lost := s.gather(ctx, without...)
	asked.Wait()
	found.Cluster = cluster
	return found, s.leave(ctx, lost)
}

// lookAtMachines is look without the API, for whom it is no use to wait.
func (s *session) lookAtMachines(ctx context.Context) (plan.Facts, error) {
	found, lost := s.gather(ctx)
	return found, s.leave(ctx, lost)
}

// leave leaves machines out from now on.
func (s *session) leave(ctx context.Context, lost map[string]error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	maps.Copy(s.unreach, lost)
	return nil
}

// maxLooks bounds the machines that are looked at at once: what of a look is held in
// memory until it ends is several times what it comes to.
const maxLooks = 64

// gather asks the machines, and says which did not answer, and why.
func (s *session) gather(ctx context.Context, without ...string) (plan.Facts, map[string]error) {
	ask := plan.Questions(s.cluster)
	found := plan.Facts{Machines: map[string]components.Facts{}}
	lost := map[string]error{}
	var all sync.WaitGroup
	var mu sync.Mutex
	slots := make(chan struct{}, maxLooks)
	for name, client := range s.clients {
		if s.unreach[name] != nil || slices.Contains(without, name) {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			bounded, cancel := s.bounded(ctx)
			defer cancel()
			f, err := facts.Gather(bounded, client, ask)
			if err != nil && bounded.Err() != nil && ctx.Err() == nil {
				err = context.Cause(bounded)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				lost[name] = err
				return
			}
			found.Machines[name] = f
			s.generation = max(s.generation, f.Generation)
		})
	}
	all.Wait()
	return found, lost
}

// lookAgain looks in the middle of a run: without the machines that failed, of
// which the run's own error says why, and only while every master answers but
// those that were silent from the beginning.
func (s *session) lookAgain(ctx context.Context, failed []string, silent map[string]bool) (plan.Facts, error) {
	look := func() (plan.Facts, error) { return s.look(ctx, failed...) }
	found, err := look()
	if err == nil && s.answered && !found.Cluster.Reachable {
		found, err = untilReachable(ctx, apiReturns, look)
	}
	for _, m := range slices.Concat(s.cluster.Masters(), s.leaving) {
		if lost := s.unreach[m.Name]; lost != nil && !silent[m.Name] && !slices.Contains(failed, m.Name) {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.Name, lost))
		}
	}
	found.Cluster.Inventory = s.known(found.Cluster.Inventory, failed)
	return found, err
}

// lostMasters says which masters do not answer, and why.
func (s *session) lostMasters() error {
	var errs []error
	for _, m := range s.cluster.Masters() {
		if err, lost := s.unreach[m.Name]; lost {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// apiPatience bounds how long a look waits for an API server: one whose etcd is
// gone takes requests and keeps silent.
const apiPatience = 20 * time.Second

// lookAtCluster asks the API, where a master that we set up answers.
func (s *session) lookAtCluster(ctx context.Context) components.ClusterFacts {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.patience, apiPatience))
	defer cancel()
	client, err := s.api(ctx)
	if err != nil {
		return components.ClusterFacts{Problem: err.Error()}
	}
	found, err := client.Facts(ctx)
	if err == nil {
		found.Edited, err = edited(ctx, client, s.cluster, found.Applied)
	}
	if err != nil {
		s.forget(client)
		return components.ClusterFacts{Problem: err.Error()}
	}
	return found
}

// forget drops a client that had no answer: the next one is of a master that has.
func (s *session) forget(client *kube.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube == client {
		s.kube = nil
	}
	client.Close()
}

// api returns the one client of the API server, connected when first asked for.
func (s *session) api(ctx context.Context) (*kube.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube != nil {
		return s.kube, nil
	}
	var endpoints []kube.Endpoint
	for _, m := range s.cluster.Masters() {
		if client, ok := s.clients[m.Name]; ok {
			endpoints = append(endpoints, kube.Endpoint{Master: client, Address: m.Address})
		}
	}
	if len(endpoints) == 0 {
		return nil, s.lostMasters()
	}
	client, err := kube.Connect(ctx, endpoints)
	if err != nil {
		return nil, err
	}
	s.kube = client
	return client, nil
}
