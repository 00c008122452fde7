package certificates

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"provision/components/agent/durable"
	"provision/components/pki"
)

// How one authority follows another, on a master. Each step can be told again after a
// kill anywhere, and then does what is left of it; which comes when is
// provisioner/plan's to say.
//
//	next/      made by next on one master, and brought to the others by import-next
//	previous/  by switch: what signed until then, without its key
//	retired/   by retire: the same, when it is not to be trusted any more

func (s store) folder(dir string) store { return store(s.path(filepath.Base(dir))) }

func (s store) next() store     { return s.folder(pki.NextDir) }
func (s store) previous() store { return s.folder(pki.PreviousDir) }
func (s store) retired() store  { return s.folder(pki.RetiredDir) }

// makeNext makes what is missing of the authorities that are to follow.
func (s store) makeNext(now time.Time) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, other := range []store{s.previous(), s.retired()} {
		// An empty folder is what a removal left that was cut off before its last step.
		if err := os.Remove(string(other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there: the last change of the authorities has not come to its end", other)
		}
	}
	old, _, err := s.authority(pki.ClusterCA)
	if err != nil {
		return fmt.Errorf("%s: %w", pki.ClusterCA, err)
	}
	if old.MaxPathLen == 0 {
		return errors.New("the cluster's authority was made by a provision that forbade it to vouch for another: everything that runs and knows but this one would refuse the API servers of the next")
	}
	next := s.next()
	if err := os.Mkdir(string(next), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := durable.Sweep(string(next)); err != nil {
		return err
	}
	for _, name := range pki.Authorities {
		// Another subject than the one before: some programs look an issuer up by its name.
		if err := next.initAuthority(name, name+" since "+now.UTC().Format(time.DateOnly)+" "+rand.Text()[:6], now); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return s.cross(next, now)
}

// cross has the old authority of the cluster vouch for the next one, so that a pod which
// began before, and knows but the old one, knows an API server of the next.
func (s store) cross(next store, now time.Time) error {
	if next.has(pki.Cross + ".crt") {
		return nil
	}
	old, key, err := s.authority(pki.ClusterCA)
	if err != nil {
		return fmt.Errorf("%s: %w", pki.ClusterCA, err)
	}
	authority, _, err := next.authority(pki.ClusterCA)
	if err != nil {
		return err
	}
	wanted, err := authorityTemplate("", now)
	if err != nil {
		return err
	}
	wanted.Subject, wanted.SubjectKeyId = authority.Subject, authority.SubjectKeyId
	wanted.NotAfter = earlier(old.NotAfter, authority.NotAfter)
	wanted.MaxPathLen, wanted.MaxPathLenZero = 0, true
	der, err := x509.CreateCertificate(rand.Reader, wanted, old, authority.PublicKey, key)
	if err != nil {
		return err
	}
	return durable.Create(next.path(pki.Cross+".crt"), 0o644, encodeCertificate(der))
}

// importNext writes what another master exported of them.
func (s store) importNext(in authorityFiles) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := in.check(pki.NextFiles()); err != nil {
		return err
	}
	if _, err := parseCertificate(pki.Cross, []byte(in.Files[pki.Cross+".crt"])); err != nil {
		return err
	}
	if err := os.Mkdir(string(s.next()), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.next().take(in)
}

// switchOver has the next authorities sign. An authority's certificate of before is kept
// first; then the key is replaced and after it the certificate, so that a half of it is
// known by the certificate that is left in next.
func (s store) switchOver() error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	next, previous := s.next(), s.previous()
	if !next.has("") {
		if previous.has("") {
			return nil
		}
		return errors.New("there are no authorities that are to follow")
	}
	if err := os.Mkdir(string(previous), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range pki.Authorities {
		if !next.has(name + ".crt") {
			continue // it signs already
		}
		old, err := s.read(name + ".crt")
		if err != nil {
			return err
		}
		if err := previous.replace(name+".crt", string(old)); err != nil {
			return err
		}
		if next.has(name + ".key") {
			if err := durable.Rename(next.path(name+".key"), s.path(name+".key")); err != nil {
				return err
			}
		}
		if err := durable.Rename(next.path(name+".crt"), s.path(name+".crt")); err != nil {
			return err
		}
	}
	if next.has(pki.Cross + ".crt") {
		if err := durable.Rename(next.path(pki.Cross+".crt"), previous.path(pki.Cross+".crt")); err != nil {
			return err
		}
	}
	return os.RemoveAll(string(next))
}

// retire marks the authorities of before.
func (s store) retire() error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !s.previous().has("") {
		return nil
	}
	if err := os.RemoveAll(string(s.retired())); err != nil {
		return err
	}
	return durable.Rename(string(s.previous()), string(s.retired()))
}

// crossed is what stands behind an API server's certificate while the authority of before
// may still be all that somebody knows, or nothing.
func (s store) crossed() []byte {
	for _, folder := range []store{s.previous(), s.retired()} {
		if text, err := folder.read(pki.Cross + ".crt"); err == nil {
			return text
		}
	}
	return nil
}

// settle finishes what was cut off between a new key and its certificate: see install.
func (s store) settle(name string) error {
	text, err := s.read(pending(name) + ".crt")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	certificate, err := parseLeaf(name, text)
	if err != nil {
		return err
	}
	key, err := s.key(name + ".key")
	if err != nil || !same(certificate.PublicKey, key) {
		return nil // the key has not been replaced: nothing has happened
	}
	return durable.Rename(s.path(pending(name)+".crt"), s.path(name+".crt"))
}

// finish is settle, for whoever does not hold the folder.
func (s store) finish(name string) error {
	if !s.has(pending(name) + ".crt") {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return s.settle(name)
}

// pending is the name of a leaf's next key and certificate, which no process reads.
func pending(name string) string { return filepath.Join("pending", name) }

// parseLeaf reads the first certificate of a chain, and no more than one behind it.
func parseLeaf(name string, text []byte) (*x509.Certificate, error) {
	block, rest := pem.Decode(text)
	if block == nil {
		return parseCertificate(name, text)
	}
	if next, _ := pem.Decode(rest); next != nil {
		if _, err := parseCertificate(name, rest); err != nil {
			return nil, err
		}
	}
	return parseCertificate(name, pem.EncodeToMemory(block))
}
