package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxOffered keeps below sshd's MaxAuthTries of 6, after which it hangs up: an
// agent with many keys would never come to the right one.
const maxOffered = 5

// keyRing is the keys to offer to one machine, the most likely first.
type keyRing struct {
	offers []offer
	left   int // keys of the agent that there was no room for
	agent  io.Closer
	silent error // why the agent's keys are not known, where it did not answer
}

// offer is one key and where it comes from.
type offer struct {
	signer ssh.Signer
	from   string
}

// signers hands the keys to the handshake, once it has come so far.
func (r *keyRing) signers() ([]ssh.Signer, error) {
	var signers []ssh.Signer
	for _, o := range r.offers {
		signers = append(signers, o.signer)
	}
	return signers, nil
}

func (r *keyRing) offered() []string {
	var texts []string
	for _, o := range r.offers {
		texts = append(texts, fmt.Sprintf("%s (%s)", ssh.FingerprintSHA256(o.signer.PublicKey()), o.from))
	}
	return texts
}

func (r *keyRing) close() {
	if r.agent != nil {
		r.agent.Close()
	}
}

// keys gathers the keys for a target: its files, and of the agent's either
// those that the files name or, where no file was asked for, the first few.
func (d *Dialer) keys(ctx context.Context, target Target) (*keyRing, error) {
	ring := &keyRing{}
	held := d.fromAgent(ctx, ring, target)
	for _, file := range target.Keys {
		signer, err := d.keyFile(ctx, file, held)
		if err != nil {
			if !target.KeysGiven {
				continue // one that was merely found in ~/.ssh
			}
			ring.close()
			if errors.Is(err, errNotHeld) && ring.silent != nil {
				err = fmt.Errorf("it is a public key, and %w", ring.silent)
			}
			return nil, &KeyFileError{file, err}
		}
		ring.add(signer, filepath.Base(file))
	}
	if target.KeysGiven {
		return ring, nil
	}
	for _, signer := range held {
		ring.add(signer, "agent")
	}
	return ring, nil
}

// add puts a key at the end, if it is not there already.
func (r *keyRing) add(signer ssh.Signer, from string) {
	for _, o := range r.offers {
		if bytes.Equal(o.signer.PublicKey().Marshal(), signer.PublicKey().Marshal()) {
			return
		}
	}
	if len(r.offers) == maxOffered {
		r.left++
		return
	}
	r.offers = append(r.offers, offer{signer, from})
}

// agentTimeout bounds an agent's list of its keys, which it has at hand.
const agentTimeout = 5 * time.Second

// errNotHeld is a public key that no agent has the other half of.
var errNotHeld = errors.New("it is a public key, and the agent does not hold the private one")

// fromAgent returns the agent's keys. One that is not there has none. One that
// takes the connection and then hangs, as a forwarded agent does whose other
// end is gone, is waited for once, not for every machine and every try.
func (d *Dialer) fromAgent(ctx context.Context, r *keyRing, target Target) []ssh.Signer {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if !target.Agent || socket == "" {
		return nil
	}
	wait := d.agentWait
	if wait == 0 {
		wait = agentTimeout
	}
	hung := fmt.Errorf("the ssh-agent at SSH_AUTH_SOCK (%s) did not answer within %s: restart it, or unset SSH_AUTH_SOCK", socket, wait)
	if d.agentHangs.Load() {
		r.silent = hung
		return nil
	}
	listing, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(listing, "unix", socket)
	if err != nil {
		return nil
	}
	r.agent = conn
	stop := context.AfterFunc(listing, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if !stop() && ctx.Err() == nil {
		d.agentHangs.Store(true)
		r.silent = hung
		return nil
	}
	if err != nil {
		return nil
	}
	return signers
}

// keyFile returns the signer for a file: the agent's where it holds that key,
// else the file's own, unlocked when it is first needed.
func (d *Dialer) keyFile(ctx context.Context, file string, held []ssh.Signer) (ssh.Signer, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		var pathError *os.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err == nil {
		return signer, nil
	}
	var missing *ssh.PassphraseMissingError
	public, _, _, _, publicErr := ssh.ParseAuthorizedKey(data)
	switch {
	case errors.As(err, &missing):
		public = missing.PublicKey
		if public == nil {
			public = readPublic(file + ".pub")
		}
	case publicErr != nil:
		return nil, errors.New("no SSH key in a format that can be read here")
	}
	if public != nil {
		for _, h := range held {
			if bytes.Equal(h.PublicKey().Marshal(), public.Marshal()) {
				return h, nil
			}
		}
	}
	if missing == nil {
		return nil, errNotHeld
	}
	return d.locked(ctx, file, data, public)
}

func readPublic(file string) ssh.PublicKey {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(data)
	if err != nil {
		return nil
	}
	return public
}
