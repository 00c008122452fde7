// Package grant gives the administrators of a new cluster their rights:
// "agent grant", run on a master.
//
// The administrators' group is one of ours, which can be revoked, and not
// upstream's system:masters, which cannot. But in a new cluster nobody may bind
// it. So the one binding is made with an identity in system:masters that lives
// in this process alone and for minutes; everything else is applied by
// components/addons with the administrator's own. It also gives the rights back
// where somebody took the binding away.
package grant

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
)

// lifetime of the identity, and of the wait for the API server.
const lifetime = 2 * time.Minute

const retryEvery = 200 * time.Millisecond

// binding is also among the addons, which look after it from then on.
const binding = `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding",
"metadata":{"name":"provision:admins"},
"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},
"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"provision:admins"}]}`

const bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"

// NewCommand returns "agent grant".
func NewCommand() *cobra.Command {
	var dir, server string
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "On a master: give the administrators' group its rights",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), lifetime)
			defer cancel()
			return Grant(ctx, dir, server)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", components.PKI, "folder of the authorities")
	cmd.Flags().StringVar(&server, "server", "", "URL of the API server")
	if err := cmd.MarkFlagRequired("server"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// Grant binds the group, waiting until ctx ends for a server that is starting.
// That the binding is there already is no error.
func Grant(ctx context.Context, dir, server string) error {
	client, err := newClient(dir)
	if err != nil {
		return fmt.Errorf("grant: %w", err)
	}
	for {
		again, err := bind(ctx, client, server)
		if err == nil {
			return nil
		}
		if !again {
			return fmt.Errorf("grant: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("grant: %w", err)
		case <-time.After(retryEvery):
		}
	}
}

// bind tries once; again says whether it is worth another try.
func bind(ctx context.Context, client *http.Client, server string) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server+bindings, bytes.NewReader([]byte(binding)))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		return !errors.As(err, &untrusted), err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	switch {
	case response.StatusCode/100 == 2 || response.StatusCode == http.StatusConflict:
		return false, nil
	case err != nil:
		return true, err
	default:
		return response.StatusCode >= 500 || response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusNotFound,
			fmt.Errorf("%s: %s", response.Status, bytes.TrimSpace(text))
	}
}

// newClient makes a client with an identity that nobody else ever sees.
func newClient(dir string) (*http.Client, error) {
	authority, err := tls.LoadX509KeyPair(filepath.Join(dir, "cluster-ca.crt"), filepath.Join(dir, "cluster-ca.key"))
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(filepath.Join(dir, "cluster-ca-trust.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	identity, err := mint(authority)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: roots, Certificates: []tls.Certificate{identity}, MinVersion: tls.VersionTLS12,
		}},
	}, nil
}

func mint(authority tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "provision:grant", Organization: []string{"system:masters"}},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, authority.Leaf, &key.PublicKey, authority.PrivateKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
