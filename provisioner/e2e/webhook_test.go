//go:build lab

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// webhook has the API server ask a pod on another machine, through its Service.
func webhook(t *testing.T, l *lab) {
	certificate, key := selfSigned(t, "webhook.default.svc")
	text, err := os.ReadFile("testdata/webhook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	manifest := strings.NewReplacer(
		"IMAGE", image(t, "probe"),
		"CERTIFICATE", indent(certificate), "KEY", indent(key),
		"BUNDLE", base64.StdEncoding.EncodeToString(certificate),
	).Replace(string(text))
	l.apply(manifest)
	l.kubectl("wait", "--for=condition=Ready", "pod/webhook", "--timeout=60s")
	eventually(t, "the webhook refuses", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "-n", "hooked", "create", "configmap", "x", "--dry-run=server")
		return out.code != 0 && strings.Contains(out.stderr, "the probe says no"), out.all()
	})
	l.kubectl("delete", "validatingwebhookconfiguration/webhook", "pod/webhook", "service/webhook", "secret/webhook", "namespace/hooked")
}

func indent(text []byte) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "\n    ")
}

// selfSigned returns a certificate for a server of that name, and its key, in PEM.
func selfSigned(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	var keyPEM bytes.Buffer
	if err := pem.Encode(&keyPEM, &pem.Block{Type: "PRIVATE KEY", Bytes: encoded}); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM.Bytes()
}
