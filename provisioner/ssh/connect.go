package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// ciphers puts AES-GCM first, which processors do in hardware: it is several
// times faster than ChaCha20 there, and a bundle is large.
var ciphers = []string{
	ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305,
	ssh.CipherAES128CTR, ssh.CipherAES192CTR, ssh.CipherAES256CTR,
}

// chain connects to a target, through the last of the bastions. The connection
// to that one is kept in through, for the next try where this one fails; the
// caller closes it.
func (d *Dialer) chain(ctx context.Context, target Target, bastions []Target, through **hop) (*Client, error) {
	dial := (&net.Dialer{Timeout: connectTimeout}).DialContext
	var passed io.Closer
	if len(bastions) > 0 {
		if *through != nil && (*through).over() {
			(*through).Close()
			*through = nil
		}
		if *through == nil {
			hop, err := d.borrow(ctx, bastions)
			if err != nil {
				return nil, fmt.Errorf("bastion: %w", err)
			}
			*through = hop
		}
		passed, dial = *through, (*through).dial
	}
	conn, err := d.connect(ctx, target, dial)
	if err != nil {
		return nil, err
	}
	*through = nil // the client's from now on
	return newClient(target, conn, passed, d.keepAlive), nil
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connect makes one connection and proves both sides to each other.
func (d *Dialer) connect(ctx context.Context, target Target, dial dialFunc) (*ssh.Client, error) {
	keys, err := d.keys(ctx, target)
	if err != nil {
		return nil, err
	}
	defer keys.close()
	hosts, err := loadHostKeys(target)
	if err != nil {
		return nil, lastingError{err}
	}
	conn, err := dial(ctx, "tcp", target.address())
	if err != nil {
		return nil, reachError(err)
	}
	release, err := d.shakeHands(ctx)
	if err != nil {
		conn.Close()
		return nil, err
	}
	defer release()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var greeted, booting atomic.Bool
	patience := time.AfterFunc(greetTimeout, func() {
		if greeted.Load() {
			cancel(lastingError{fmt.Errorf("the login at %s did not end within %s; an agent that waits for a touch or a confirmation may be why", target.address(), loginTimeout)})
			return
		}
		cancel(fmt.Errorf("%s took the connection, but its SSH server did not greet within %s", target.address(), greetTimeout))
	})
	defer patience.Stop()
	// Not every connection has deadlines (one through a bastion has none), and
	// an agent may be waiting for a person.
	stop := context.AfterFunc(ctx, func() {
		conn.Close()
		keys.close()
	})
	defer stop()

	config := &ssh.ClientConfig{
		Config: ssh.Config{Ciphers: ciphers},
		User:   target.user(),
		Auth:   []ssh.AuthMethod{ssh.PublicKeysCallback(keys.signers)},
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			greeted.Store(true)
			patience.Reset(loginTimeout) // a person may have to type a passphrase
			return hosts.check(host, remote, key)
		},
		HostKeyAlgorithms: hosts.algorithms(),
		BannerCallback: func(message string) error {
			// pam_nologin says so while systemd is not done.
			booting.Store(strings.Contains(message, "System is booting up"))
			return nil
		},
	}
	connection, channels, requests, err := ssh.NewClientConn(conn, target.address(), config)
	if err != nil {
		conn.Close()
		return nil, handshakeError(ctx, target, err, hosts, keys, booting.Load())
	}
	if !stop() {
		connection.Close()
		return nil, context.Cause(ctx)
	}
	return ssh.NewClient(connection, channels, requests), nil
}

// handshakeError says in the user's words why two ends did not agree.
func handshakeError(ctx context.Context, target Target, err error, hosts *hostKeys, keys *keyRing, booting bool) error {
	var hostKey *HostKeyError
	var keyFile *KeyFileError
	var algorithm *ssh.AlgorithmNegotiationError
	switch {
	case errors.As(err, &hostKey):
		return hostKey
	case errors.As(err, &keyFile):
		return keyFile
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &algorithm) && algorithm.What == "host key" && len(hosts.known) > 0:
		return hosts.changed(nil)
	case isAuthFailure(err) && booting:
		return fmt.Errorf("%s is still booting and lets nobody in but root", target.address())
	case isAuthFailure(err):
		return &AuthError{User: target.user(), Address: target.address(), Offered: keys.offered(), Left: keys.left, Silent: keys.silent, cause: err}
	}
	return fmt.Errorf("%s: %w", target.address(), err)
}

// isAuthFailure knows the two ways in which a server says no. Neither has a type.
func isAuthFailure(err error) bool {
	return strings.Contains(err.Error(), "unable to authenticate") ||
		strings.Contains(err.Error(), "oo many authentication failures")
}

// reachError shortens what dialling says, and explains a bastion's refusal.
func reachError(err error) error {
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) && refused.Reason == ssh.Prohibited {
		return fmt.Errorf("the bastion does not forward connections (AllowTcpForwarding, PermitOpen): %w", err)
	}
	return err
}
