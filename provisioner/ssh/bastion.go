package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/crypto/ssh"
)

// hop is one connection to a bastion, which all machines behind it share: sshd
// drops some of many connections that begin at once (MaxStartups 10:30:100),
// and forwards as many as are asked for on one (MaxSessions does not count
// those). It lives as long as somebody uses it.
type hop struct {
	dialer *Dialer
	key    string
	users  int // under dialer.hopsMu

	ctx    context.Context // ends with the last user
	cancel context.CancelFunc
	ready  chan struct{} // closed once it is known what came of dialing
	client *Client       // nil where err is not
	err    error
}

// throughTimeout is what a bastion has to reach a machine, or to say that it
// does not: its own kernel would try for two minutes.
const throughTimeout = connectTimeout

// borrow returns the connection to the last of these bastions, through those
// before it. The caller releases it.
func (d *Dialer) borrow(ctx context.Context, bastions []Target) (*hop, error) {
	key := fmt.Sprintf("%#v", bastions)
	d.hopsMu.Lock()
	h := d.hops[key]
	if h == nil {
		h = &hop{dialer: d, key: key, ready: make(chan struct{})}
		// Not the first user's to end: others may be waiting as well.
		h.ctx, h.cancel = context.WithCancel(context.WithoutCancel(ctx))
		if d.hops == nil {
			d.hops = map[string]*hop{}
		}
		d.hops[key] = h
		go h.open(bastions)
	}
	h.users++
	d.hopsMu.Unlock()
	select {
	case <-h.ready:
		if h.err == nil {
			return h, nil
		}
		h.Close()
		return nil, h.err
	case <-ctx.Done():
		h.Close()
		return nil, context.Cause(ctx)
	}
}

// open dials, and is there until the connection has ended.
func (h *hop) open(bastions []Target) {
	last := len(bastions) - 1
	var through *hop
	h.client, h.err = h.dialer.chain(h.ctx, bastions[last], bastions[:last], &through)
	if through != nil {
		through.Close()
	}
	if h.err != nil {
		h.forget()
		close(h.ready)
		return
	}
	close(h.ready)
	select {
	case <-h.client.Done():
	case <-h.ctx.Done():
	}
	h.forget()
	h.client.Close()
}

// forget lets the next who asks dial anew.
func (h *hop) forget() {
	h.dialer.hopsMu.Lock()
	defer h.dialer.hopsMu.Unlock()
	if h.dialer.hops[h.key] == h {
		delete(h.dialer.hops, h.key)
	}
}

// Close releases the connection, and ends it where nobody else uses it.
func (h *hop) Close() error {
	h.dialer.hopsMu.Lock()
	h.users--
	unused := h.users == 0
	if unused && h.dialer.hops[h.key] == h {
		delete(h.dialer.hops, h.key)
	}
	h.dialer.hopsMu.Unlock()
	if unused {
		h.cancel()
	}
	return nil
}

func (h *hop) over() bool { return h.client.ctx.Err() != nil }

// dial is a dialFunc.
func (h *hop) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, throughTimeout,
		fmt.Errorf("the bastion %s did not reach %s within %s", h.client.target.address(), address, throughTimeout))
	defer cancel()
	conn, err := h.client.conn.DialContext(ctx, network, address)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &refused):
		return nil, err
	}
	h.client.settle(ctx)
	return nil, h.client.lost(err)
}
