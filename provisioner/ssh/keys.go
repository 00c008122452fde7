package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

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
func (d *Dialer) keys(target Target) (*keyRing, error) {
	ring := &keyRing{}
	held := ring.fromAgent(target)
	for _, file := range target.Keys {
		signer, err := d.keyFile(file, held)
		if err != nil {
			if !target.KeysGiven {
				continue // one that was merely found in ~/.ssh
			}
			ring.close()
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

// fromAgent returns the agent's keys; an agent that does not answer has none.
func (r *keyRing) fromAgent(target Target) []ssh.Signer {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if !target.Agent || socket == "" {
		return nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil
	}
	r.agent = conn
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		return nil
	}
	return signers
}

// keyFile returns the signer for a file: the agent's where it holds that key,
// else the file's own, unlocked when it is first needed.
func (d *Dialer) keyFile(file string, held []ssh.Signer) (ssh.Signer, error) {
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
		return nil, errors.New("it is a public key, and the agent does not hold the private one")
	}
	return d.locked(file, data, public)
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
