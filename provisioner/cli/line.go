package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"sync"
	"time"

	"provision/provisioner/config"
	"provision/provisioner/ssh"
)

// loopback is where a machine's own balancer listens, among others.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// line is a connection to a machine that can be made anew. It is a kube.Master.
type line struct {
	machine config.Machine
	port    int
	dial    func(ctx context.Context, m config.Machine) (*ssh.Client, error)

	mu     sync.Mutex
	client *ssh.Client
}

func (l *line) now() *ssh.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client
}

func (l *line) Name() string { return l.machine.Name }

func (l *line) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	return l.now().Run(ctx, argv, stdin)
}

func (l *line) ReadFile(ctx context.Context, name string) ([]byte, error) {
	return l.now().ReadFile(ctx, name)
}

func (l *line) WriteFile(ctx context.Context, name string, mode fs.FileMode, data []byte) error {
	return l.now().WriteFile(ctx, name, mode, data)
}

func (l *line) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return l.now().DialContext(ctx, network, address)
}

// How long it is tried to reach a machine again, and one attempt at it.
const (
	reconnectFor = time.Minute
	reconnectTry = 10 * time.Second
)

// reconnect takes a new connection in place of the one at hand.
func (l *line) reconnect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reconnectFor)
	defer cancel()
	for {
		once, done := context.WithTimeout(ctx, reconnectTry)
		client, err := l.dial(once, l.machine)
		done()
		if err == nil {
			l.mu.Lock()
			old := l.client
			l.client = client
			l.mu.Unlock()
			old.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it is not reached again: %w", err)
		case <-time.After(time.Second):
		}
	}
}

// through is a master's files, and connections that begin on another machine.
type through struct {
	*line
	via *line
}

func (t through) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return t.via.DialContext(ctx, network, address)
}
