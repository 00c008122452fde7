package grant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority makes a CA in a folder of its own.
func authority(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cluster-ca.crt": {Type: "CERTIFICATE", Bytes: der}, "cluster-ca.key": {Type: "PRIVATE KEY", Bytes: pkcs8},
		"cluster-ca-trust.pem": {Type: "CERTIFICATE", Bytes: der},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serve is an API server that trusts the folder's authority and has its certificate from it.
func serve(t *testing.T, dir string, answer http.HandlerFunc) string {
	t.Helper()
	ca, err := tls.LoadX509KeyPair(filepath.Join(dir, "cluster-ca.crt"), filepath.Join(dir, "cluster-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca.Leaf, &key.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(ca.Leaf)
	server := httptest.NewUnstartedServer(answer)
	server.Config.ErrorLog = nil
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: clients,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

func TestGrant(t *testing.T) {
	dir := authority(t)
	tries := 0
	url := serve(t, dir, func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 3 {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		identity := r.TLS.PeerCertificates[0]
		if !slices.Equal(identity.Subject.Organization, []string{"system:masters"}) {
			t.Errorf("asked as %v", identity.Subject)
		}
		if left := time.Until(identity.NotAfter); left > lifetime {
			t.Errorf("the identity lives for %s", left)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != "POST" || r.URL.Path != bindings || !strings.Contains(string(body), `"provision:admins"`) {
			t.Errorf("%s %s: %s (%v)", r.Method, r.URL, body, err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	if err := Grant(t.Context(), dir, url); err != nil || tries != 3 {
		t.Errorf("%v after %d tries", err, tries)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("the identity was written down: %v (%v)", entries, err)
	}
}

func TestGrantTwiceIsNoError(t *testing.T) {
	dir := authority(t)
	url := serve(t, dir, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) })
	if err := Grant(t.Context(), dir, url); err != nil {
		t.Error(err)
	}
}

func TestGrantGivesUp(t *testing.T) {
	dir := authority(t)
	refuses := serve(t, dir, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what is this", http.StatusBadRequest) })
	if err := Grant(t.Context(), dir, refuses); err == nil || !strings.Contains(err.Error(), "400 Bad Request: what is this") {
		t.Errorf("got %v", err)
	}
	// A server of another authority is not asked again: it will not become ours.
	stranger := serve(t, authority(t), func(http.ResponseWriter, *http.Request) { t.Error("a stranger was asked") })
	start := time.Now()
	if err := Grant(t.Context(), dir, stranger); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if err := Grant(t.Context(), t.TempDir(), refuses); err == nil {
		t.Error("granted without an authority")
	}
	cmd := NewCommand()
	cmd.SetArgs(nil)
	cmd.SetErr(io.Discard)
	cmd.SetOut(io.Discard)
	if err := cmd.Execute(); err == nil || !strings.Contains(fmt.Sprint(err), "server") {
		t.Errorf("without a server: %v", err)
	}
}
