package certificates

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"provision/components/agent/durable"
	"provision/components/pki"
)

// request makes the keys that are missing and a request for each leaf. A key
// that is there and sound is kept: a run that was killed goes on with it, and
// a renewal needs no new one. Where new keys are asked for they wait, unread, for
// their certificates: see install.
func (s store) request(leaves pki.LeafList) (pki.Requests, error) {
	if n := len(leaves.Leaves); n == 0 || n > pki.MaxLeaves {
		return pki.Requests{}, fmt.Errorf("%d leaves are not between 1 and %d", n, pki.MaxLeaves)
	}
	unlock, err := s.lock()
	if err != nil {
		return pki.Requests{}, err
	}
	defer unlock()
	var answer pki.Requests
	for _, leaf := range leaves.Leaves {
		if err := leaf.Check(); err != nil {
			return pki.Requests{}, err
		}
		name, keyFor := leaf.Name, s.leafKey
		if leaves.NewKeys {
			// One that waits here since a run that was killed may be known as well by now.
			name, keyFor = pending(name), s.freshKey
			if err := os.Mkdir(filepath.Dir(s.path(name)), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return pki.Requests{}, err
			}
		} else if err := s.settle(name); err != nil {
			return pki.Requests{}, err
		}
		key, err := keyFor(name + ".key")
		if err != nil {
			return pki.Requests{}, fmt.Errorf("%s: %w", leaf.Name, err)
		}
		// The subject is for a person who reads the request: the signer takes the key alone.
		der, err := x509.CreateCertificateRequest(rand.Reader,
			&x509.CertificateRequest{Subject: pkix.Name{CommonName: leaf.CommonName}}, key)
		if err != nil {
			return pki.Requests{}, fmt.Errorf("%s: %w", leaf.Name, err)
		}
		var csr bytes.Buffer
		if err := pem.Encode(&csr, &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}); err != nil {
			return pki.Requests{}, err
		}
		answer.Requests = append(answer.Requests, pki.Request{Leaf: leaf, CSR: csr.String()})
	}
	return answer, nil
}

// leafKey returns a leaf's key, and a new one where it is missing or damaged.
func (s store) leafKey(name string) (crypto.Signer, error) {
	if key, err := s.key(name); err == nil {
		return key, nil
	}
	return s.freshKey(name)
}

// freshKey makes a leaf's key, whether there is one or not.
func (s store) freshKey(name string) (crypto.Signer, error) {
	key, text, err := newKey()
	if err != nil {
		return nil, err
	}
	return key, durable.Replace(s.path(name), 0o600, text)
}
