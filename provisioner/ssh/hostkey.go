package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// hostKeys is what is known of one host before it is asked.
type hostKeys struct {
	target  Target
	pinned  ssh.PublicKey
	files   ssh.HostKeyCallback // over KnownHosts; nil where a key is pinned
	known   []ssh.PublicKey     // of this host
	where   []string            // a description of each, for errors
	signers bool                // KnownHosts name certificate authorities
}

func loadHostKeys(target Target) (*hostKeys, error) {
	h := &hostKeys{target: target}
	if target.HostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(target.HostKey))
		if err != nil {
			return nil, fmt.Errorf("the host key given for %s: %w", target.address(), err)
		}
		h.pinned, h.known, h.where = key, []ssh.PublicKey{key}, []string{ssh.FingerprintSHA256(key) + " by ssh.host_key"}
		return h, nil
	}
	var files []string
	for _, name := range target.KnownHosts {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h.signers = h.signers || bytes.Contains(data, []byte("@cert-authority"))
		files = append(files, name)
	}
	callback, err := knownhosts.New(files...)
	if err != nil {
		return nil, err
	}
	h.files = callback
	// A key that nobody has makes the callback tell all that it knows.
	var mismatch *knownhosts.KeyError
	if errors.As(h.ask(nobody{}), &mismatch) {
		for _, want := range mismatch.Want {
			h.known = append(h.known, want.Key)
			h.where = append(h.where, fmt.Sprintf("%s by %s:%d", ssh.FingerprintSHA256(want.Key), want.Filename, want.Line))
		}
	}
	return h, nil
}

func (h *hostKeys) ask(key ssh.PublicKey) error {
	return h.files(h.target.address(), &net.TCPAddr{IP: net.IPv4zero}, key)
}

// algorithms keeps the server from showing a key of another type than the known
// ones, which could not be checked though the machine is the right one. nil
// means any.
func (h *hostKeys) algorithms() []string {
	if h.signers {
		return nil
	}
	var names []string
	for _, key := range h.known {
		if key.Type() == ssh.KeyAlgoRSA {
			names = append(names, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
			continue
		}
		names = append(names, key.Type())
	}
	return names
}

// check is the ssh.HostKeyCallback.
func (h *hostKeys) check(_ string, _ net.Addr, shown ssh.PublicKey) error {
	if h.pinned != nil {
		if bytes.Equal(shown.Marshal(), h.pinned.Marshal()) {
			return nil
		}
		return h.changed(shown)
	}
	err := h.ask(shown)
	var revoked *knownhosts.RevokedError
	var mismatch *knownhosts.KeyError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &revoked):
		bad := h.changed(shown)
		bad.Revoked = fmt.Sprintf("%s:%d", revoked.Revoked.Filename, revoked.Revoked.Line)
		return bad
	case !errors.As(err, &mismatch):
		return err
	case len(mismatch.Want) == 0 && h.target.AcceptNew:
		return h.accept(shown)
	}
	return h.changed(shown)
}

// changed is the error for a key that was not expected; nil where none was shown.
func (h *hostKeys) changed(shown ssh.PublicKey) *HostKeyError {
	e := &HostKeyError{Address: h.target.address(), Known: h.where}
	if shown != nil {
		e.Print = strings.TrimPrefix(shown.Type(), "ssh-") + " " + ssh.FingerprintSHA256(shown)
		e.Shown = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(shown)))
	}
	return e
}

var accepting sync.Mutex

// accept remembers an unknown host's key. Between two provisions that do so at
// once the file has both lines, which is right.
func (h *hostKeys) accept(shown ssh.PublicKey) error {
	if len(h.target.KnownHosts) == 0 {
		return errors.New("accept_new needs a known_hosts file to keep the key in")
	}
	accepting.Lock()
	defer accepting.Unlock()
	name := h.target.KnownHosts[0]
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	line := knownhosts.Line([]string{h.target.address()}, shown) + "\n"
	if info, err := f.Stat(); err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			line = "\n" + line
		}
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// nobody is a key that no host has.
type nobody struct{}

func (nobody) Type() string                        { return "none" }
func (nobody) Marshal() []byte                     { return []byte("none") }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("nobody signs") }
