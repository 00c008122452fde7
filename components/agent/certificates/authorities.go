package certificates

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"provision/components/agent/durable"
	"provision/components/pki"
)

// skew is how far certificates are dated back, for machines whose clock lags
// behind the signer's.
const skew = time.Hour

// Files that init makes beside the authorities' pairs.
const (
	serviceAccountKey    = "service-account.key"
	serviceAccountPublic = "service-account.pub"
	encryptionConfig     = "encryption.yaml"
)

// initialize makes what is missing. Each file appears whole or not at all, a
// key before what is derived from it, so that a run that was killed anywhere
// is completed by the next one and nothing that exists is ever replaced.
func (s store) initialize(now time.Time) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	for _, name := range pki.Authorities {
		if err := s.initAuthority(name, name, now); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := s.initServiceAccount(); err != nil {
		return fmt.Errorf("service account key: %w", err)
	}
	return s.initEncryption()
}

// initAuthority makes an authority where there is none. subject is its common name.
func (s store) initAuthority(name, subject string, now time.Time) error {
	if s.has(name + ".crt") {
		_, _, err := s.authority(name)
		return err
	}
	key, err := s.keyOrNew(name + ".key")
	if err != nil {
		return err
	}
	wanted, err := authorityTemplate(subject, now)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, wanted, key.Public(), key)
	if err != nil {
		return err
	}
	return durable.Create(s.path(name+".crt"), 0o644, encodeCertificate(der))
}

func authorityTemplate(subject string, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"provision"}, CommonName: subject},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(pki.MaxLifetime),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            1, // it signs leaves, and once the authority that follows it
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, err
}

func newSerial() (*big.Int, error) {
	bytes := make([]byte, 16)
	if _, err := rand.Read(bytes); err != nil {
		return nil, err
	}
	bytes[0] |= 1 // not zero, which X.509 forbids
	return new(big.Int).SetBytes(bytes), nil
}

func (s store) initServiceAccount() error {
	if s.has(serviceAccountPublic) && !s.has(serviceAccountKey) {
		return errors.New(serviceAccountPublic + " is there without its key: another key would invalidate every token")
	}
	key, err := s.keyOrNew(serviceAccountKey)
	if err != nil || s.has(serviceAccountPublic) {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return durable.Create(s.path(serviceAccountPublic), 0o644, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// encryption puts the key first, so that Secrets are encrypted from the first
// write, and identity last, so that what someone wrote without is readable.
const encryption = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: %s
  - identity: {}
`

func (s store) initEncryption() error {
	if s.has(encryptionConfig) {
		return nil
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	text := fmt.Sprintf(encryption, base64.StdEncoding.EncodeToString(secret))
	return durable.Create(s.path(encryptionConfig), 0o600, []byte(text))
}
