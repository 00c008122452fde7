package certificates

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/pki"
)

// list says what every certificate in the folder says of itself, and that with which
// kubelet serves, which is in another. One whose key is missing or another's has no
// authority: it is of no use. Authorities are told as they are.
func (s store) list(kubelet string) (map[string]components.CertFact, error) {
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
		certificate, err := parseLeaf(entry.Name(), text)
		if err != nil {
			continue
		}
		fact := describe(certificate)
		key, err := s.key(name + ".key")
		if err == nil && same(certificate.PublicKey, key) || slices.Contains(pki.Authorities, name) {
			fact.Authority = issuer(certificate, authorities)
		}
		if slices.Contains(pki.Authorities, name) {
			fact.PEM = string(text)
		}
		facts[name] = fact
	}
	for _, folder := range []store{s.next(), s.previous()} {
		for _, name := range pki.Authorities {
			text, err := folder.read(name + ".crt")
			if err != nil {
				continue
			}
			if certificate, err := parseCertificate(name, text); err == nil {
				fact := describe(certificate)
				fact.PEM = string(text)
				facts[filepath.Base(string(folder))+"/"+name] = fact
			}
		}
	}
	if text, err := durable.Read(kubelet, maxFile); err == nil {
		if block, _ := pem.Decode(text); block != nil && block.Type == "CERTIFICATE" {
			if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
				fact := describe(certificate)
				fact.Authority = issuer(certificate, authorities)
				facts[pki.KubeletServer] = fact
			}
		}
	}
	return facts, nil
}

func describe(certificate *x509.Certificate) components.CertFact {
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
	return fact
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
