package certificates

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"provision/components/agent/durable"
	"provision/components/pki"
)

// authorityFiles is what one master hands to another: all of it is secret.
type authorityFiles struct {
	Files map[string]string `json:"files"`
}

func authorityFileNames() []string {
	var names []string
	for _, name := range pki.Authorities {
		names = append(names, name+".crt", name+".key")
	}
	return append(names, serviceAccountKey, serviceAccountPublic, encryptionConfig)
}

// export returns files of the folder.
func (s store) export(names []string) (authorityFiles, error) {
	out := authorityFiles{Files: map[string]string{}}
	for _, name := range names {
		text, err := s.read(name)
		if err != nil {
			return authorityFiles{}, err
		}
		out.Files[name] = string(text)
	}
	return out, nil
}

// importAuthorities writes what another master exported.
func (s store) importAuthorities(in authorityFiles) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := in.check(authorityFileNames()); err != nil {
		return err
	}
	if _, err := parseKey(serviceAccountKey, []byte(in.Files[serviceAccountKey])); err != nil {
		return err
	}
	return s.take(in)
}

// take writes files that are not there. Where this machine has something else under one
// of the names, nothing is written.
func (s store) take(in authorityFiles) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(in.Files)) {
		have, err := s.read(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, name)
		case err != nil:
			return err
		case !bytes.Equal(have, []byte(in.Files[name])):
			return fmt.Errorf("%s: this machine has another one, of another cluster or an earlier life", name)
		}
	}
	for _, name := range missing {
		mode := os.FileMode(0o600)
		if strings.HasSuffix(name, ".crt") || strings.HasSuffix(name, ".pub") {
			mode = 0o644
		}
		if err := durable.Create(s.path(name), mode, []byte(in.Files[name])); err != nil {
			return err
		}
	}
	return nil
}

// check refuses files of other names, and authorities that are none.
func (f authorityFiles) check(names []string) error {
	if len(f.Files) != len(names) {
		return fmt.Errorf("%d files where %d make an authority", len(f.Files), len(names))
	}
	for _, name := range names {
		if f.Files[name] == "" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	for _, name := range pki.Authorities {
		certificate, err := parseCertificate(name+".crt", []byte(f.Files[name+".crt"]))
		if err != nil {
			return err
		}
		key, err := parseKey(name+".key", []byte(f.Files[name+".key"]))
		if err != nil {
			return err
		}
		if !certificate.IsCA || certificate.KeyUsage&x509.KeyUsageCertSign == 0 || !same(certificate.PublicKey, key) {
			return fmt.Errorf("%s: its certificate and its key do not make an authority", name)
		}
	}
	return nil
}
