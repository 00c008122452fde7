package cli

import (
	"context"
	"io"

	"provision/components"
	"provision/provisioner/kube"
	"provision/provisioner/run"
)

// site is what actions may reach, on the ground of a session.
type site struct{ *session }

var (
	_ components.Site = site{}
	_ run.Sizer       = site{}
)

func (s site) Machine(name string) (components.Machine, error) { return s.machine(name) }

func (s site) Bundle(ctx context.Context, w io.Writer, have map[string]bool) error {
	return s.bundle.Send(ctx, w, have)
}

func (s site) BundleSize(have map[string]bool) int64 { return s.bundle.Size(have) }

func (s site) BundleFile(name string) ([]byte, error) { return s.bundle.File(name) }

// API returns a client of the first master that can be reached and has its
// identities. Unlike session.api it does not ask whether the server answers:
// an action may be the one that waits for it.
func (s site) API(ctx context.Context) (components.API, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kube != nil {
		return s.kube, nil
	}
	err := s.lostMasters()
	for _, m := range s.cluster.Masters() {
		client, ok := s.clients[m.Name]
		if !ok {
			continue
		}
		s.kube, err = kube.New(ctx, kube.Endpoint{Master: client, Address: m.Address})
		if err == nil {
			return s.kube, nil
		}
		s.kube = nil
	}
	return nil, err
}
