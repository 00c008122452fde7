package certificates

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"provision/components"
	"provision/components/pki"
)

// list says what every certificate in the folder says of itself. One whose key
// is missing or another's has no authority: it is of no use.
func (s store) list() (map[string]components.CertFact, error) {
	facts := map[string]components.CertFact{}
	entries, err := os.ReadDir(string(s))
	if errors.Is(err, fs.ErrNotExist) {
		return facts, nil
	}
	if err != nil {
		return nil, err
	}
	authorities := s.authorities()
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), ".crt")
		if !ok {
			continue
		}
		text, err := s.read(entry.Name())
		if err != nil {
			continue
		}
		certificate, err := parseCertificate(entry.Name(), text)
		if err != nil {
			continue
		}
		fact := components.CertFact{
			CommonName:    certificate.Subject.CommonName,
			Organizations: certificate.Subject.Organization,
			Names:         slices.Clone(certificate.DNSNames),
			NotBefore:     certificate.NotBefore,
			NotAfter:      certificate.NotAfter,
		}
		for _, ip := range certificate.IPAddresses {
			fact.Names = append(fact.Names, ip.String())
		}
		slices.Sort(fact.Names)
		key, err := s.key(name + ".key")
		if slices.Contains(pki.Authorities, name) || err == nil && same(certificate.PublicKey, key) {
			fact.Authority = issuer(certificate, authorities)
		}
		facts[name] = fact
	}
	return facts, nil
}

// authorities are those present, by the SHA-256 of their files.
func (s store) authorities() map[string]*x509.Certificate {
	found := map[string]*x509.Certificate{}
	for _, name := range pki.Authorities {
		text, err := s.read(name + ".crt")
		if err != nil {
			continue
		}
		if certificate, err := parseCertificate(name, text); err == nil {
			found[components.Sum(text)] = certificate
		}
	}
	return found
}

func issuer(certificate *x509.Certificate, authorities map[string]*x509.Certificate) string {
	for sum, authority := range authorities {
		if certificate.CheckSignatureFrom(authority) == nil {
			return sum
		}
	}
	return ""
}
