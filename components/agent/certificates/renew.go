package certificates

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/pki"
)

// Signer has a request of a machine signed by a master, which knows what the machine
// may be, and returns the certificate in PEM.
type Signer func(ctx context.Context, csr []byte) ([]byte, error)

// renewWithin bounds one run: a timer starts the next.
const renewWithin = 2 * time.Minute

// RenewCommand returns "agent certificates renew". signer makes one of a kubeconfig.
func RenewCommand(signer func(kubeconfig string) (Signer, error)) *cobra.Command {
	var dir, path string
	command := &cobra.Command{
		Use:   "renew",
		Short: "Renew certificates that have come to half of their time",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			text, err := durable.Read(path, maxFile)
			if err != nil {
				return err
			}
			var config pki.Renewal
			if err := json.Unmarshal(text, &config); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			ctx, cancel := context.WithTimeout(command.Context(), renewWithin)
			defer cancel()
			ask := func(ctx context.Context, csr []byte) ([]byte, error) {
				by, err := signer(config.Kubeconfig)
				if err != nil {
					return nil, err
				}
				return by(ctx, csr)
			}
			renewed, err := store(dir).renew(ctx, config.LifetimeSeconds, ask, time.Now())
			if len(renewed) > 0 {
				fmt.Fprintln(command.OutOrStdout(), "renewed", strings.Join(renewed, ", "))
			}
			return err
		},
	}
	command.Flags().StringVar(&dir, "dir", components.PKI, "folder of keys and certificates")
	command.Flags().StringVar(&path, "config", components.Etc+"/renewal.json", "configuration")
	return command
}

// renew renews what is due, each by itself, and returns the names of those renewed.
func (s store) renew(ctx context.Context, seconds int64, ask Signer, now time.Time) ([]string, error) {
	entries, err := os.ReadDir(string(s))
	if err != nil {
		return nil, err
	}
	var renewed []string
	var errs []error
	for _, entry := range entries {
		name, is := strings.CutSuffix(entry.Name(), ".crt")
		if !is || slices.Contains(pki.Authorities, name) {
			continue
		}
		if err := s.finish(name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		due, leaf, err := s.due(name, seconds, now)
		if err == nil && due {
			if err = s.renewOne(ctx, leaf, ask, now); err == nil {
				renewed = append(renewed, name)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return renewed, errors.Join(errs...)
}

// due says whether a certificate has come to half of its time, and what it is.
func (s store) due(name string, seconds int64, now time.Time) (bool, pki.Leaf, error) {
	text, err := s.read(name + ".crt")
	if err != nil {
		return false, pki.Leaf{}, err
	}
	certificate, err := parseLeaf(name, text)
	if err != nil {
		return false, pki.Leaf{}, err
	}
	leaf := pki.Leaf{Name: name, CommonName: certificate.Subject.CommonName, Organizations: certificate.Subject.Organization,
		Names: slices.Clone(certificate.DNSNames), LifetimeSeconds: seconds}
	for _, ip := range certificate.IPAddresses {
		leaf.Names = append(leaf.Names, ip.String())
	}
	for _, usage := range certificate.ExtKeyUsage {
		switch usage {
		case x509.ExtKeyUsageClientAuth:
			leaf.Usages = append(leaf.Usages, pki.Client)
		case x509.ExtKeyUsageServerAuth:
			leaf.Usages = append(leaf.Usages, pki.Server)
		}
	}
	for _, authority := range pki.Authorities {
		text, err := s.read(authority + ".crt")
		if err != nil {
			continue
		}
		if parent, err := parseCertificate(authority, text); err == nil && certificate.CheckSignatureFrom(parent) == nil {
			leaf.Authority = authority
		}
	}
	if leaf.Authority == "" {
		return false, leaf, errors.New("it is of no authority that is here: `provision up` issues another")
	}
	return certificate.NotAfter.Sub(now) < leaf.Lifetime()/2, leaf, leaf.Check()
}

func (s store) renewOne(ctx context.Context, leaf pki.Leaf, ask Signer, now time.Time) error {
	requests, err := s.request(pki.LeafList{Leaves: []pki.Leaf{leaf}})
	if err != nil {
		return err
	}
	var signed pki.Signed
	if s.has(leaf.Authority + ".key") { // a master
		signed, err = s.sign(requests, now)
	} else {
		signed, err = s.askFor(ctx, leaf, ask)
	}
	if err != nil {
		return err
	}
	return s.install(signed, now)
}

// askFor has a master sign a request with the whole subject, by which it knows what is
// asked for.
func (s store) askFor(ctx context.Context, leaf pki.Leaf, ask Signer) (pki.Signed, error) {
	key, err := s.key(leaf.Name + ".key")
	if err != nil {
		return pki.Signed{}, err
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations}}
	for _, name := range leaf.Names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return pki.Signed{}, err
	}
	certificate, err := ask(ctx, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	if err != nil {
		return pki.Signed{}, err
	}
	authority, err := s.read(leaf.Authority + ".crt")
	if err != nil {
		return pki.Signed{}, err
	}
	return pki.Signed{
		Authorities:  map[string]string{leaf.Authority: string(authority)},
		Certificates: []pki.Certificate{{Leaf: leaf, Certificate: string(certificate)}},
	}, nil
}

// SignMachine signs, with the cluster's authority in dir, a request whose key alone is
// believed, as the identity named.
func SignMachine(dir string, csr []byte, commonName string, organizations []string, lifetime time.Duration) ([]byte, error) {
	leaf := pki.Leaf{Name: "machine", Authority: pki.ClusterCA, CommonName: commonName, Organizations: organizations,
		Usages: []string{pki.Client}, LifetimeSeconds: int64(lifetime / time.Second)}
	signed, err := store(dir).signOne(pki.Request{Leaf: leaf, CSR: string(csr)}, time.Now())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this machine has not the cluster's authority")
	}
	return []byte(signed.Certificate), err
}
