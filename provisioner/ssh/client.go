package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Client is one connection to one machine. It is safe for concurrent use: what
// is asked of it at once runs at once, as far as sshd lets it.
type Client struct {
	target Target
	conn   *ssh.Client
	passed io.Closer // the bastion's connection; nil: there is none

	sessions chan struct{} // one for each session that is open
	killing  sync.Mutex    // one session more, to kill what another runs
	agent    atomic.Pointer[string]

	filesMu sync.Mutex
	sftp    *sftpFiles // nil until it is needed, and where it cannot be had

	ctx   context.Context // ends, with the reason, when the connection does
	end   context.CancelCauseFunc
	close sync.Once

	liveMu sync.Mutex // orders the start of goroutines before Close's wait
	live   sync.WaitGroup
}

const (
	// maxSessions leaves room below sshd's MaxSessions of 10 for SFTP and kill.
	maxSessions = 8
	// A silent machine is given up 40 to 45 s after its last answer. Less would
	// give up on a slow line, where an answer waits behind megabytes of a bundle.
	keepAliveEvery = 5 * time.Second
	keepAliveMiss  = 8
)

func newClient(target Target, conn *ssh.Client, passed io.Closer, keepAlive time.Duration) *Client {
	c := &Client{target: target, conn: conn, passed: passed, sessions: make(chan struct{}, maxSessions)}
	c.ctx, c.end = context.WithCancelCause(context.Background())
	if keepAlive == 0 {
		keepAlive = keepAliveEvery
	}
	c.spawn(func() {
		err := conn.Wait()
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the machine closed it")
		}
		c.end(err)
	})
	c.spawn(func() { c.keepAlive(keepAlive) })
	return c
}

// Name is the machine's name in the cluster file.
func (c *Client) Name() string { return c.target.Name }

// UseAgent tells where our agent will be on the machine. Where root is had by
// sudo, files are then written and read through it; until it is there, and
// where it is not, a few lines of sh do the same at more cost.
func (c *Client) UseAgent(path string) { c.agent.Store(&path) }

// errClosed is the reason that Close gives.
var errClosed = errors.New("it was closed")

// Close ends the connection and everything that goes on over it, and waits for
// that. It may be called more than once.
func (c *Client) Close() error {
	c.liveMu.Lock()
	c.end(errClosed)
	c.liveMu.Unlock()
	c.hangUp()
	c.live.Wait()
	return nil
}

// spawn starts a goroutine that Close waits for. One that starts later finds
// the connection closed and ends by itself.
func (c *Client) spawn(f func()) {
	c.liveMu.Lock()
	defer c.liveMu.Unlock()
	if c.ctx.Err() != nil {
		go f()
		return
	}
	c.live.Go(f)
}

// hangUp closes the connection, and lets go of what it went through.
func (c *Client) hangUp() {
	c.close.Do(func() {
		c.conn.Close()
		if c.passed != nil {
			c.passed.Close()
		}
	})
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.ctx.Done() }

// keepAlive notices a machine whose power is gone: TCP would wait many minutes.
func (c *Client) keepAlive(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var answered atomic.Bool
	answered.Store(true)
	for missed := 0; missed < keepAliveMiss; {
		select {
		case <-c.ctx.Done():
			c.hangUp()
			return
		case <-ticker.C:
		}
		if !answered.Load() {
			missed++
			continue
		}
		missed = 0
		answered.Store(false)
		c.spawn(func() {
			if _, _, err := c.conn.SendRequest("keepalive@openssh.com", true, nil); err == nil {
				answered.Store(true)
			}
		})
	}
	c.end(errors.New("it did not answer for " + (keepAliveMiss * every).String()))
	c.hangUp()
}

// lost turns the error of something that the connection was needed for into
// the connection's own end, where it has ended.
func (c *Client) lost(err error) error {
	if err == nil || c.ctx.Err() == nil {
		return err
	}
	return &LostError{c.target.address(), context.Cause(c.ctx)}
}

// DialContext connects from the machine to an address that it reaches, as
// `ssh -W` does. The connection has no deadlines. network is "tcp" or "unix".
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.conn.DialContext(ctx, network, address)
	if err != nil {
		return nil, plainly(c.lost(reachError(err)))
	}
	return conn, nil
}

// acquire waits for a free session. The caller releases it.
func (c *Client) acquire(ctx context.Context) (release func(), err error) {
	select {
	case c.sessions <- struct{}{}:
		return func() { <-c.sessions }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		return nil, c.lost(errClosed)
	}
}

// openSession opens a session; ctx bounds that, which the library does not.
// sshd counts a session until its last process has let go of it, which may be a
// moment after we have: a refusal is tried again.
func (c *Client) openSession(ctx context.Context) (*ssh.Session, error) {
	for pause := firstPause; ; pause *= 2 {
		session, err := c.trySession(ctx)
		var refused *ssh.OpenChannelError
		if !errors.As(err, &refused) || pause > longestPause {
			if err != nil && refused == nil {
				c.settle(ctx)
			}
			return session, c.lost(err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// settle waits a moment for the connection's end to be known: what fails
// because of it can be seen first, and in words that help nobody.
func (c *Client) settle(ctx context.Context) {
	select {
	case <-c.ctx.Done():
	case <-ctx.Done():
	case <-time.After(killAfter):
	}
}

func (c *Client) trySession(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	result := make(chan opened, 1)
	c.spawn(func() {
		session, err := c.conn.NewSession()
		result <- opened{session, err}
	})
	select {
	case o := <-result:
		return o.session, o.err
	case <-ctx.Done():
	}
	c.spawn(func() {
		if late := <-result; late.session != nil {
			late.session.Close()
		}
	})
	return nil, context.Cause(ctx)
}
