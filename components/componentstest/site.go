package componentstest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"provision/components"
	"provision/components/handover"
)

// Site is machines, a bundle and an API made of memory.
type Site struct {
	Machines map[string]*Machine
	Cluster  *API
	bundle   map[string][]byte
}

// NewSite returns a site of bare machines for a cluster of Cluster's.
func NewSite(c components.Cluster) *Site {
	s := &Site{Machines: map[string]*Machine{}, bundle: map[string][]byte{}}
	e := &ensemble{}
	for _, m := range c.Machines {
		s.Machines[m.Name] = New(m.Name)
		s.Machines[m.Name].etcd = e
	}
	// A file of the bundle holds its own base name, as Cluster has its sums.
	for name := range c.Bundle.Files {
		content := name[strings.LastIndex(name, "/")+1:]
		s.bundle[name] = []byte(strings.TrimSuffix(content, ".tar"))
	}
	masters := c.Masters()
	s.Cluster = newAPI(func() bool {
		return slices.ContainsFunc(masters, func(m components.MachineSpec) bool { return s.serves(m.Name) })
	})
	s.Cluster.kubelet = func(node string) string {
		m := s.Machines[node]
		if m == nil || !slices.Contains(m.Running(), "provision-kubelet.service") {
			return ""
		}
		return m.kubeletVersion()
	}
	return s
}

// Machine returns a machine.
func (s *Site) Machine(name string) (components.Machine, error) {
	if m, ok := s.Machines[name]; ok {
		return m, nil
	}
	return nil, fmt.Errorf("%s: no such machine", name)
}

// sentFile is one file of a bundle's stream; Content is nil where the machine has it.
type sentFile struct {
	Name, Sum string
	Content   []byte
}

// Bundle writes what Machine's "agent unpack" reads.
func (s *Site) Bundle(_ context.Context, w io.Writer, have map[string]bool) error {
	var sent []sentFile
	for _, name := range slices.Sorted(maps.Keys(s.bundle)) {
		f := sentFile{Name: name, Sum: components.Sum(s.bundle[name])}
		if !have[f.Sum] {
			f.Content = s.bundle[name]
		}
		sent = append(sent, f)
	}
	return json.NewEncoder(w).Encode(sent)
}

// Turn is everybody's at once, and from the operator.
func (s *Site) Turn(context.Context, handover.Parcel, string, map[string]bool) (components.Turn, error) {
	return components.Turn{Done: func(error) {}}, nil
}

// Open opens a file of this computer.
func (s *Site) Open(name string) (io.ReadCloser, error) { return os.Open(name) }

// BundleFile returns a file of the bundle.
func (s *Site) BundleFile(name string) ([]byte, error) {
	if content, ok := s.bundle[name]; ok {
		return content, nil
	}
	return nil, fmt.Errorf("the bundle has no %s", name)
}

// APIOf returns the cluster's API, while that master runs it.
func (s *Site) APIOf(ctx context.Context, master string) (components.API, error) {
	if !s.Cluster.Always && !s.serves(master) {
		return nil, errNotReady
	}
	return s.API(ctx)
}

// serves says that a master runs an API server whose etcd has a quorum.
func (s *Site) serves(master string) bool {
	running := s.Machines[master].Running()
	return slices.Contains(running, "provision-apiserver.service") && slices.Contains(running, "provision-etcd.service")
}

// API returns the cluster's API, while a master runs it.
func (s *Site) API(ctx context.Context) (components.API, error) {
	if err := s.Cluster.Ready(ctx); err != nil {
		return nil, err
	}
	return s.Cluster, nil
}
