package kube

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"provision/components"
)

// master is a machine made of files, on which one API server listens.
type master struct {
	components.Machine // nothing else is used of it
	name               string
	files              map[string][]byte
	server             *httptest.Server
	dials              atomic.Int32
}

func (m *master) Name() string { return m.name }

func (m *master) ReadFile(_ context.Context, name string) ([]byte, error) {
	if data, is := m.files[name]; is {
		return data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (m *master) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	m.dials.Add(1)
	if address != "10.1.2.3:6443" {
		return nil, &net.OpError{Op: "dial", Err: &net.AddrError{Err: "no such host in this test", Addr: address}}
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, m.server.Listener.Addr().String())
}

func (m *master) endpoint() Endpoint {
	return Endpoint{Master: m, Address: netip.MustParseAddr("10.1.2.3")}
}

// newMaster starts an API server that demands the admin's certificate and
// answers with handler.
func newMaster(t *testing.T, name string, handler http.HandlerFunc) *master {
	t.Helper()
	now := time.Now()
	caKey, caDER := issue(t, nil, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "cluster-ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	})
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	leaf := func(cn string, usage x509.ExtKeyUsage, addresses ...net.IP) (*ecdsa.PrivateKey, []byte) {
		return issue(t, ca, caKey, &x509.Certificate{
			Subject: pkix.Name{CommonName: cn}, ExtKeyUsage: []x509.ExtKeyUsage{usage}, IPAddresses: addresses,
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		})
	}
	serverKey, serverDER := leaf("apiserver", x509.ExtKeyUsageServerAuth, net.IPv4(10, 1, 2, 3))
	adminKey, adminDER := leaf("provision:admin", x509.ExtKeyUsageClientAuth)

	pool := x509.NewCertPool()
	pool.AddCert(ca)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.TLS.PeerCertificates[0].Subject.CommonName; got != "provision:admin" {
			t.Errorf("%s: asked as %q, want provision:admin", r.URL, got)
		}
		handler(w, r)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool,
		Certificates: []tls.Certificate{{Certificate: [][]byte{serverDER}, PrivateKey: serverKey}},
	}
	server.Config.ErrorLog = quiet
	server.StartTLS()
	t.Cleanup(server.Close)

	keyDER, err := x509.MarshalECPrivateKey(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	return &master{name: name, server: server, files: map[string][]byte{
		"/etc/provision/pki/cluster-ca-trust.pem": block("CERTIFICATE", caDER),
		"/etc/provision/pki/admin.crt":            block("CERTIFICATE", adminDER),
		"/etc/provision/pki/admin.key":            block("EC PRIVATE KEY", keyDER),
	}}
}

var quiet = log.New(io.Discard, "", 0)

func issue(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, template *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

// connectTo returns a client of a master with that handler, which also says
// that it is ready.
func connectTo(t *testing.T, handler http.HandlerFunc) (*Client, *master) {
	t.Helper()
	m := newMaster(t, "m1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/readyz" {
			io.WriteString(w, "ok")
			return
		}
		handler(w, r)
	})
	client, err := Connect(t.Context(), []Endpoint{m.endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, m
}
