package certificates

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"provision/components/pki"
)

// authority returns an authority's certificate and key, and refuses halves.
func (s store) authority(name string) (*x509.Certificate, crypto.Signer, error) {
	text, err := s.read(name + ".crt")
	if err != nil {
		return nil, nil, err
	}
	certificate, err := parseCertificate(name+".crt", text)
	if err != nil {
		return nil, nil, err
	}
	key, err := s.key(name + ".key")
	if err != nil {
		return nil, nil, fmt.Errorf("its certificate is there, but not its key: %w", err)
	}
	if !certificate.IsCA || !same(certificate.PublicKey, key) {
		return nil, nil, errors.New("its certificate and its key do not belong together")
	}
	return certificate, key, nil
}

// sign answers requests: all of them, or none.
func (s store) sign(requests pki.Requests, now time.Time) (pki.Signed, error) {
	if n := len(requests.Requests); n == 0 || n > pki.MaxLeaves {
		return pki.Signed{}, fmt.Errorf("%d requests are not between 1 and %d", n, pki.MaxLeaves)
	}
	answer := pki.Signed{Authorities: map[string]string{}}
	authorities := []string{pki.ClusterCA} // everyone must know the API server
	for _, request := range requests.Requests {
		certificate, err := s.signOne(request, now)
		if err != nil {
			return pki.Signed{}, err
		}
		answer.Certificates = append(answer.Certificates, certificate)
		authorities = append(authorities, request.Leaf.Authority)
	}
	for _, name := range authorities {
		text, err := s.read(name + ".crt")
		if err != nil {
			return pki.Signed{}, err
		}
		answer.Authorities[name] = string(text)
	}
	return answer, nil
}

func (s store) signOne(request pki.Request, now time.Time) (pki.Certificate, error) {
	leaf := request.Leaf
	if err := leaf.Check(); err != nil {
		return pki.Certificate{}, err
	}
	public, err := requestedKey(request.CSR)
	if err != nil {
		return pki.Certificate{}, fmt.Errorf("%s: request: %w", leaf.Name, err)
	}
	authority, key, err := s.authority(leaf.Authority)
	if err != nil {
		return pki.Certificate{}, fmt.Errorf("%s: %s: %w", leaf.Name, leaf.Authority, err)
	}
	if same(public, key) {
		return pki.Certificate{}, fmt.Errorf("%s: request: its key is the authority's own", leaf.Name)
	}
	serial, err := newSerial()
	if err != nil {
		return pki.Certificate{}, err
	}
	wanted := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		NotBefore:             later(now.Add(-skew), authority.NotBefore),
		NotAfter:              earlier(now.Add(leaf.Lifetime()), authority.NotAfter),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           usages(leaf),
	}
	if _, ok := public.(*rsa.PublicKey); ok {
		wanted.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			wanted.IPAddresses = append(wanted.IPAddresses, ip)
		} else {
			wanted.DNSNames = append(wanted.DNSNames, name)
		}
	}
	if !wanted.NotAfter.After(now) {
		return pki.Certificate{}, fmt.Errorf("%s: %s has expired", leaf.Name, leaf.Authority)
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, authority, public, key)
	if err != nil {
		return pki.Certificate{}, fmt.Errorf("%s: %w", leaf.Name, err)
	}
	chain := encodeCertificate(der)
	if leaf.Authority == pki.ClusterCA && slices.Contains(leaf.Usages, pki.Server) {
		chain = append(chain, s.crossed()...)
	}
	return pki.Certificate{Leaf: leaf, Certificate: string(chain)}, nil
}

// requestedKey takes the one thing from a request that is believed: the key
// whose owner signed it.
func requestedKey(text string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("no certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, err
	}
	if err := request.CheckSignature(); err != nil {
		return nil, err
	}
	return request.PublicKey, strong(request.PublicKey)
}

func usages(leaf pki.Leaf) []x509.ExtKeyUsage {
	var out []x509.ExtKeyUsage
	if slices.Contains(leaf.Usages, pki.Client) {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	if slices.Contains(leaf.Usages, pki.Server) {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
