package certificates

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision/components/agent/durable"
	"provision/components/pki"
)

// install writes what was signed, once all of it proves right: nothing is
// written where one certificate is not for our key or not by its authority. A new key
// takes over here: its certificate is put beside it, then both are renamed. What is cut
// off between the two is known by that certificate, and finished by settle.
func (s store) install(signed pki.Signed, now time.Time) error {
	if n := len(signed.Certificates); n == 0 || n > pki.MaxLeaves {
		return fmt.Errorf("%d certificates are not between 1 and %d", n, pki.MaxLeaves)
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	authorities := map[string]*x509.Certificate{}
	for name, text := range signed.Authorities {
		if authorities[name], err = s.checkAuthority(name, text); err != nil {
			return err
		}
	}
	for _, certificate := range signed.Certificates {
		if err := s.settle(certificate.Leaf.Name); err != nil {
			return err
		}
		if err := s.checkLeaf(certificate, authorities[certificate.Leaf.Authority], now); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(signed.Authorities)) {
		if err := s.replace(name+".crt", signed.Authorities[name]); err != nil {
			return err
		}
	}
	for _, certificate := range signed.Certificates {
		if err := s.takeOver(certificate.Leaf.Name, certificate.Certificate); err != nil {
			return err
		}
	}
	return nil
}

// takeOver writes a certificate, and its key where that is a new one.
func (s store) takeOver(name, text string) error {
	certificate, err := parseLeaf(name, []byte(text))
	if err != nil {
		return err
	}
	key, err := s.key(pending(name) + ".key")
	if err != nil || !same(certificate.PublicKey, key) {
		return s.replace(name+".crt", text)
	}
	if err := s.replace(pending(name)+".crt", text); err != nil {
		return err
	}
	if err := durable.Rename(s.path(pending(name)+".key"), s.path(name+".key")); err != nil {
		return err
	}
	return durable.Rename(s.path(pending(name)+".crt"), s.path(name+".crt"))
}

// replace leaves a file that is right alone: its time tells what is stale.
func (s store) replace(name, text string) error {
	if have, err := s.read(name); err == nil && bytes.Equal(have, []byte(text)) {
		return nil
	}
	return durable.Replace(s.path(name), 0o644, []byte(text))
}

func (s store) checkAuthority(name, text string) (*x509.Certificate, error) {
	if !slices.Contains(pki.Authorities, name) {
		return nil, fmt.Errorf("authority %.80q is unknown", name)
	}
	authority, err := parseCertificate(name, []byte(text))
	if err != nil {
		return nil, err
	}
	if !authority.IsCA {
		return nil, fmt.Errorf("%s: its certificate is no authority's", name)
	}
	if have, err := s.read(name + ".crt"); s.has(name+".key") && (err != nil || !bytes.Equal(have, []byte(text))) {
		return nil, fmt.Errorf("%s: this machine holds the key of another one", name)
	}
	return authority, nil
}

func (s store) checkLeaf(signed pki.Certificate, authority *x509.Certificate, now time.Time) error {
	name := signed.Leaf.Name
	if err := signed.Leaf.Check(); err != nil {
		return err
	}
	if authority == nil {
		return fmt.Errorf("%s: the certificate of %s is missing", name, signed.Leaf.Authority)
	}
	certificate, err := parseLeaf(name, []byte(signed.Certificate))
	if err != nil {
		return err
	}
	key, err := s.key(pending(name) + ".key")
	if err != nil || !same(certificate.PublicKey, key) {
		if key, err = s.key(name + ".key"); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if !same(certificate.PublicKey, key) {
		return fmt.Errorf("%s: the certificate is for another key", name)
	}
	if certificate.Subject.CommonName != signed.Leaf.CommonName {
		return fmt.Errorf("%s: the certificate is for another name", name)
	}
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	// The signer's clock dates certificates back, so one that is not yet valid
	// here means a clock that is more than an hour wrong: worth a sentence now.
	if _, err := certificate.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: now, KeyUsages: usages(signed.Leaf)}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
