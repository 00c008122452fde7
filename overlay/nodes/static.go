package nodes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"provision/overlay"
	"provision/overlay/state"
)

// Static reads nodes from a file, a JSON list of overlay.Node, for machines
// without Kubernetes: tests, and the overlay on its own. The machine's own
// announcement goes to a file, from which somebody carries it to the others.
type Static struct {
	file, announcement string
	changed            chan struct{}
	nodes              atomic.Pointer[[]overlay.Node]
	trouble            atomic.Pointer[string]
}

// NewStatic returns a source that reads a file and writes announcement.json to a
// folder.
func NewStatic(file, runDir string) *Static {
	return &Static{file: file, announcement: filepath.Join(runDir, "announcement.json"), changed: make(chan struct{}, 1)}
}

// Changed tells that Nodes would answer otherwise than before.
func (s *Static) Changed() <-chan struct{} { return s.changed }

// Nodes returns all nodes; ok is false until the file was read once.
func (s *Static) Nodes() (nodes []overlay.Node, ok bool) {
	if list := s.nodes.Load(); list != nil {
		return *list, true
	}
	return nil, false
}

// Trouble says why the file cannot be read; "" when it can.
func (s *Static) Trouble() string {
	if text := s.trouble.Load(); text != nil {
		return *text
	}
	return ""
}

// Run looks at the file every second until the context ends.
func (s *Static) Run(ctx context.Context) {
	ticker := time.NewTicker(retry)
	defer ticker.Stop()
	var last []byte
	for {
		data, err := os.ReadFile(s.file)
		var nodes []overlay.Node
		if err == nil {
			if err = json.Unmarshal(data, &nodes); err != nil {
				err = fmt.Errorf("%s: %w", s.file, err)
			}
		}
		if err != nil {
			text := fmt.Sprintf("the nodes cannot be read, the network stays as it is: %v", err)
			s.trouble.Store(&text)
		} else {
			s.trouble.Store(nil)
			if last == nil || !bytes.Equal(last, data) {
				last = data
				s.nodes.Store(&nodes)
				select {
				case s.changed <- struct{}{}:
				default: // one is waiting to be taken already
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Announce writes the announcement to its file.
func (s *Static) Announce(_ context.Context, _ string, a overlay.Announcement) error {
	return state.WriteFile(s.announcement, []byte(a.Text()+"\n"), 0o644)
}
