package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"provision/components"
	"provision/provisioner/bundle"
	"provision/provisioner/config"
	"provision/provisioner/facts"
	"provision/provisioner/kube"
	"provision/provisioner/plan"
	"provision/provisioner/ssh"
)

// load reads the cluster file, and says all its mistakes at once.
func (a *app) load(path string) (*config.File, error) {
	vars := map[string]string{}
	for _, v := range a.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, misuse{fmt.Errorf("--var %s: wants name=value", v)}
		}
		vars[name] = value
	}
	file, diags := config.Load(path, vars)
	config.Write(a.stderr, diags, a.printer().Colour())
	if diags.HasErrors() {
		return nil, status(exitFailed)
	}
	return file, nil
}

// session is one command's view of the cluster: the file, the bundle, and a
// connection to each machine that answers.
type session struct {
	app     *app
	file    *config.File
	bundle  *bundle.Bundle
	cluster components.Cluster
	clients map[string]*ssh.Client
	unreach map[string]error // why a machine has no client

	mu   sync.Mutex
	kube *kube.Client
}

// open loads the file, finds the bundle and connects to every machine. A
// machine that cannot be reached is no error here: see session.unreach.
func (a *app) open(ctx context.Context, path string) (*session, error) {
	file, err := a.load(path)
	if err != nil {
		return nil, err
	}
	found, err := bundle.Find(a.bundleDirs(), file.Cluster.Version)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(found)
	if err != nil {
		return nil, err
	}
	s := &session{
		app: a, file: file, bundle: b,
		cluster: plan.Wanted(file, b.Components(), b.Manifest().Kubernetes),
		clients: map[string]*ssh.Client{}, unreach: map[string]error{},
	}
	s.connect(ctx)
	return s, nil
}

// bundleDirs are the places where a bundle is looked for, in order.
func (a *app) bundleDirs() []string {
	if a.bundles != "" {
		return []string{a.bundles}
	}
	if dir := os.Getenv("PROVISION_BUNDLES"); dir != "" {
		return []string{dir}
	}
	dirs := []string{"dist"}
	if program, err := os.Executable(); err == nil {
		here := filepath.Dir(program)
		dirs = []string{filepath.Join(here, "..", "dist"), filepath.Join(here, "dist"), here, "dist"}
	}
	return dirs
}

// connect dials every machine at once.
func (s *session) connect(ctx context.Context) {
	var all sync.WaitGroup
	var mu sync.Mutex
	dialer := s.app.dialer()
	for _, m := range s.file.Machines {
		all.Go(func() {
			client, err := dialer.Dial(ctx, target(m))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				s.unreach[m.Name] = err
				return
			}
			client.UseAgent(s.cluster.Agent())
			s.clients[m.Name] = client
		})
	}
	all.Wait()
}

func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube != nil {
		s.kube.Close()
	}
	for _, client := range s.clients {
		client.Close()
	}
	s.bundle.Close()
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

// look gathers the facts of every machine that answers, and of the cluster.
func (s *session) look(ctx context.Context) (plan.Facts, error) {
	ask := plan.Questions(s.cluster)
	found := plan.Facts{Machines: map[string]components.Facts{}}
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for name, client := range s.clients {
		all.Go(func() {
			f, err := facts.Gather(ctx, client, ask)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				return
			}
			found.Machines[name] = f
		})
	}
	all.Go(func() { found.Cluster = s.lookAtCluster(ctx) })
	all.Wait()
	return found, errors.Join(errs...)
}

// lookAtCluster asks the API, where a master that we set up answers.
func (s *session) lookAtCluster(ctx context.Context) components.ClusterFacts {
	client, err := s.api(ctx)
	if err != nil {
		return components.ClusterFacts{Problem: err.Error()}
	}
	found, err := client.Facts(ctx)
	if err != nil {
		return components.ClusterFacts{Problem: err.Error()}
	}
	return found
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
	client, err := kube.Connect(ctx, endpoints)
	if err != nil {
		return nil, err
	}
	s.kube = client
	return client, nil
}
