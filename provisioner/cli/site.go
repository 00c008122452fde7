package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"provision/components"
	"provision/components/handover"
	"provision/components/restore"
	"provision/provisioner/kube"
	"provision/provisioner/run"
)

// site is what actions may reach, on the ground of a session.
type site struct{ *session }

var (
	_ components.Site = site{}
	_ run.Sizer       = site{}
	_ restore.Site    = site{}
)

func (s site) Machine(name string) (components.Machine, error) { return s.machine(name) }

func (s site) Bundle(ctx context.Context, w io.Writer, have map[string]bool) error {
	return s.bundle.Send(ctx, w, have)
}

func (s site) Turn(ctx context.Context, what handover.Parcel, machine string, have map[string]bool) (components.Turn, error) {
	if queue := s.queues[what]; queue != nil {
		return queue.Turn(ctx, machine, have)
	}
	return components.Turn{Done: func(error) {}}, nil
}

func (s site) BundleSize(have map[string]bool) int64 { return s.bundle.Size(have) }

// Open opens an image archive.
func (s site) Open(name string) (io.ReadCloser, error) { return os.Open(name) }

func (s site) BundleFile(name string) ([]byte, error) { return s.bundle.File(name) }

// Backup is the one that is being restored.
func (s site) Backup() restore.Backup {
	if s.backup == nil {
		return nil
	}
	return s.backup
}

// API returns a client of a master's API server that says it is ready, and where
// none does, of the first that may become so: an action may be the one that waits.
func (s site) API(ctx context.Context) (components.API, error) {
	ready, err := s.api(ctx)
	if err == nil {
		return ready, nil
	}
	for _, m := range s.cluster.Masters() {
		if s.clients[m.Name] == nil {
			continue
		}
		if client, err := s.APIOf(ctx, m.Name); err == nil {
			return client, nil
		}
	}
	return nil, err
}

// APIOf returns a client of one master's API server. It does not ask whether the
// server answers: an action may be the one that waits for it.
func (s site) APIOf(ctx context.Context, master string) (components.API, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.own[master]; own != nil {
		return own, nil
	}
	client, err := s.machine(master)
	if err != nil {
		return nil, err
	}
	for _, m := range s.cluster.Masters() {
		if m.Name != master {
			continue
		}
		own, err := kube.New(ctx, kube.Endpoint{Master: client, Address: m.Address})
		if err != nil {
			return nil, err
		}
		if s.own == nil {
			s.own = map[string]*kube.Client{}
		}
		s.own[master] = own
		return own, nil
	}
	return nil, fmt.Errorf("%s: no master", master)
}
