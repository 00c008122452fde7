package balancer

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds on what clients can make this process hold.
const (
	parkFor   = 10 * time.Second // how long a connection waits for a server
	maxParked = 512
	// maxLinks is of one listener. Pods have theirs, so that one that opens all it can
	// takes nothing from kubelet. A connection may hold 6 descriptors (2 sockets and 2
	// pipes to splice through), and the unit allows 65536.
	maxLinks = 4096
	dialFor  = time.Second
)

// proxy carries connections to the pool's servers.
type proxy struct {
	pool     *pool
	parkFor  time.Duration
	maxLinks int           // of each listener
	parking  chan struct{} // one element for each parked connection
}

func newProxy(pool *pool) *proxy {
	return &proxy{pool: pool, parkFor: parkFor, maxLinks: maxLinks, parking: make(chan struct{}, maxParked)}
}

// serve accepts connections until the listener is closed; those it accepted go
// on until the context ends.
func (p *proxy) serve(ctx context.Context, listener *net.TCPListener) error {
	links := make(chan struct{}, p.maxLinks)
	for {
		client, err := listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil { // out of file descriptors, or the client is gone again
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(20 * time.Millisecond):
			}
			continue
		}
		select {
		case links <- struct{}{}:
			go func() {
				defer func() { <-links }()
				p.handle(ctx, client)
			}()
		default:
			client.Close()
		}
	}
}

// handle finds a server for a client and carries bytes both ways.
func (p *proxy) handle(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	s, upstream := p.connect(ctx)
	if s == nil {
		return
	}
	defer p.pool.release(s)
	defer upstream.Close()
	patient(client)
	patient(upstream)
	l := &link{client, upstream}
	if !p.pool.join(s, l) {
		return
	}
	defer p.pool.leave(s, l)
	stop := context.AfterFunc(ctx, l.close)
	defer stop()
	var wait sync.WaitGroup
	wait.Go(func() { carry(upstream, client) })
	carry(client, upstream)
	wait.Wait()
}

// connect tries the ready servers. Where there is none it parks the client,
// rather than refuse it, until one is ready or its patience ends; then a server
// that merely answers will do, since its own refusal says more than ours.
func (p *proxy) connect(ctx context.Context) (*server, *net.TCPConn) {
	if s, upstream, _ := p.try(ctx, false); s != nil {
		return s, upstream
	}
	select {
	case p.parking <- struct{}{}:
		defer func() { <-p.parking }()
	default:
		return nil, nil
	}
	deadline := time.NewTimer(p.parkFor)
	defer deadline.Stop()
	for {
		s, upstream, changed := p.try(ctx, false)
		if s != nil {
			return s, upstream
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-deadline.C:
			s, upstream, _ := p.try(ctx, true)
			return s, upstream
		case <-changed:
		case <-time.After(time.Second): // ready, but it could not be dialed just now
		}
	}
}

// try dials each usable server once.
func (p *proxy) try(ctx context.Context, desperate bool) (*server, *net.TCPConn, <-chan struct{}) {
	tried := map[*server]bool{}
	for {
		s, changed := p.pool.choose(tried, desperate)
		if s == nil {
			return nil, nil, changed
		}
		upstream, err := (&net.Dialer{Timeout: dialFor}).DialContext(ctx, "tcp", s.address.String())
		if err == nil {
			return s, upstream.(*net.TCPConn), nil
		}
		tried[s] = true
		p.pool.release(s)
	}
}

// carry copies one direction (spliced in the kernel) and passes its end on. A
// direction that breaks ends both: half a connection helps nobody.
func carry(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		to.Close()
		from.Close()
	}
}

// patient sets how long a connection outlives a peer that vanished: idle, by
// keep-alive; with bytes under way, by TCP_USER_TIMEOUT.
func patient(conn *net.TCPConn) {
	conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 4})
	if raw, err := conn.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int((12 * time.Second).Milliseconds()))
		})
	}
}
