// Package certificates is what a machine does with keys: it makes them, asks
// for certificates, installs them and says which it has; and a master signs.
//
// Which certificates a machine needs, and when, is components/pki's to say;
// carrying requests between machines is the provisioner's. Kubelets' serving
// certificates are approved by package approval.
package certificates

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"provision/components/agent/durable"
)

// maxFile is more than any key or certificate of ours has, in bytes.
const maxFile = 1 << 20

// store is a folder of keys and certificates.
type store string

func (s store) path(name string) string { return filepath.Join(string(s), name) }

func (s store) read(name string) ([]byte, error) { return durable.Read(s.path(name), maxFile) }

func (s store) has(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

// lock makes the folder, private, and keeps other writers out of it until
// unlock or until this process ends.
func (s store) lock() (unlock func(), err error) {
	// The folder above is everybody's to look into, whoever makes it first.
	if err := os.MkdirAll(filepath.Dir(string(s)), 0o755); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(string(s), 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(string(s), 0o700); err != nil {
		return nil, err
	}
	dir, err := os.Open(string(s))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", s, err), dir.Close())
	}
	if err := durable.Sweep(string(s)); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return func() { dir.Close() }, nil
}

// key returns the private key in a file; fs.ErrNotExist where there is none.
func (s store) key(name string) (crypto.Signer, error) {
	text, err := s.read(name)
	if err != nil {
		return nil, err
	}
	return parseKey(name, text)
}

// parseKey reads a PEM private key. Its errors never quote the text.
func parseKey(name string, text []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", name)
	}
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("%s: no private key", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: damaged private key", name)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: a key that cannot sign", name)
	}
	return signer, strong(signer.Public())
}

// keyOrNew returns the key in a file and makes it first where there is none.
func (s store) keyOrNew(name string) (crypto.Signer, error) {
	key, err := s.key(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	fresh, text, err := newKey()
	if err != nil {
		return nil, err
	}
	return fresh, durable.Create(s.path(name), 0o600, text)
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// strong refuses public keys that are too weak to vouch for.
func strong(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= 2048 && bits <= 8192 {
			return nil
		}
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("the key is none of EC P-256, EC P-384, RSA of 2048 to 8192 bits and Ed25519")
}

// same says whether a certificate's key is that of a private key.
func same(public crypto.PublicKey, key crypto.Signer) bool {
	own, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && own.Equal(public)
}

// parseCertificate reads exactly one PEM certificate.
func parseCertificate(name string, text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s: no certificate", name)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fmt.Errorf("%s: more than one certificate", name)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return certificate, nil
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
