// Package ssh is components.Machine over SSH and SFTP: one connection to a
// machine, host keys always checked, root by login or by sudo, nothing passed
// through a shell that was not quoted.
//
// It knows what a machine's address and keys are, and nothing of what is done
// there. How the operator said so is package config's affair; that a change is
// journaled and locked is package run's.
package ssh

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Target is one machine and how it is reached.
type Target struct {
	Name string // in the cluster file; errors are the caller's to prefix with it
	Host string // a name or an address
	Port int    // 0: 22
	User string // "": root

	// Keys are files: private keys, or public keys whose private part the
	// agent holds. With KeysGiven nothing but these is offered, not even what
	// else the agent holds.
	Keys      []string
	KeysGiven bool
	Agent     bool // ask the agent at SSH_AUTH_SOCK

	HostKey    string   // the only key to accept, as in authorized_keys; "": KnownHosts decide
	KnownHosts []string // files; those that do not exist count as empty
	AcceptNew  bool     // take the key of an unknown host, and add it to the first of KnownHosts

	Sudo     bool     // root is had by `sudo -n`
	Bastions []Target // passed through in order; their own Bastions are ignored
}

// address is where the target listens.
func (t Target) address() string {
	port := t.Port
	if port == 0 {
		port = 22
	}
	return net.JoinHostPort(t.Host, strconv.Itoa(port))
}

func (t Target) user() string {
	if t.User == "" {
		return "root"
	}
	return t.User
}

// Dialer makes connections. The zero value is ready. It remembers unlocked keys,
// so that a passphrase is asked for once, and shares one connection to a bastion
// among the machines behind it: use one for all machines. It is safe for
// concurrent use.
type Dialer struct {
	// Passphrase is asked for a locked key that a machine wants, by the name of
	// the key's file; it returns when ctx ends. nil: locked keys are not offered.
	Passphrase func(ctx context.Context, file string) ([]byte, error)

	// Patience is how long a machine that does not answer is tried again, as
	// it may be booting; 0 is 15 s, and less than 0 tries once. Wrong keys are
	// never tried again.
	Patience time.Duration

	keepAlive  time.Duration // between two keep-alives; 0 is 5 s
	agentWait  time.Duration // for an agent's list of keys; 0 is 5 s
	agentHangs atomic.Bool   // it took longer

	mu       sync.Mutex
	unlocked map[string]unlocked // by file

	handshakesOnce sync.Once
	handshakes     chan struct{} // one for each that goes on

	hopsMu sync.Mutex
	hops   map[string]*hop // bastions that are in use, or being dialed
}

const (
	// maxHandshakes bounds the logins that go on at once, which are work for this
	// computer: of hundreds, each would take longer than a server waits.
	maxHandshakes   = 64
	defaultPatience = 15 * time.Second
	connectTimeout  = 8 * time.Second  // for TCP
	greetTimeout    = 20 * time.Second // for the server to show its host key
	loginTimeout    = 2 * time.Minute  // from then on, which is sshd's own LoginGraceTime
	firstPause      = 200 * time.Millisecond
	longestPause    = 2 * time.Second
)

// Dial connects to a machine, through its bastions. It fails with *HostKeyError
// or *AuthError at once; other failures are retried while patience and ctx last.
func (d *Dialer) Dial(ctx context.Context, target Target) (*Client, error) {
	patience := d.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	deadline := time.Now().Add(patience)
	var through *hop
	defer func() {
		if through != nil {
			through.Close()
		}
	}()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		client, err := d.chain(ctx, target, target.Bastions, &through)
		if err == nil || ctx.Err() != nil || permanent(err) || time.Now().Add(pause).After(deadline) {
			return client, plainly(err)
		}
		select {
		case <-ctx.Done():
			return nil, plainly(err)
		case <-time.After(pause):
		}
	}
}

// shakeHands waits until there is room for another handshake. The caller releases it.
func (d *Dialer) shakeHands(ctx context.Context) (release func(), err error) {
	d.handshakesOnce.Do(func() { d.handshakes = make(chan struct{}, maxHandshakes) })
	select {
	case d.handshakes <- struct{}{}:
		return func() { <-d.handshakes }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lastingError is wrong on the operator's own side.
type lastingError struct{ error }

func (e lastingError) Unwrap() error { return e.error }

// permanent reports whether another try would end the same way.
func permanent(err error) bool {
	var hostKey *HostKeyError
	var auth *AuthError
	var key *KeyFileError
	var lasting lastingError
	var dns *net.DNSError
	return errors.As(err, &hostKey) || errors.As(err, &auth) || errors.As(err, &key) || errors.As(err, &lasting) ||
		errors.As(err, &dns) && dns.IsNotFound
}
