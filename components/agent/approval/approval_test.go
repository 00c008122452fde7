package approval

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const inventory = `{"kubeconfig":"/k","machines":[
	{"name":"w1","address":"10.0.0.2"},
	{"name":"w2","address":"10.0.0.3","names":["two.example"],"addresses":["fd00::3"]}]}`

func request(t *testing.T, change func(*x509.CertificateRequest)) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "system:node:w1", Organization: []string{"system:nodes"}},
		DNSNames:    []string{"w1"},
		IPAddresses: []net.IP{net.ParseIP("10.0.0.2")},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func kubelets(t *testing.T, name string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), ResourceVersion: "1"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    request(t, nil),
			SignerName: certificatesv1.KubeletServingSignerName,
			Username:   "system:node:w1",
			Groups:     []string{"system:nodes", "system:authenticated"},
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
	}
}

func TestOnlyAMachinesOwnNamesAreApproved(t *testing.T) {
	c, err := parse([]byte(inventory))
	if err != nil {
		t.Fatal(err)
	}
	type csr = certificatesv1.CertificateSigningRequest
	asks := func(change func(*x509.CertificateRequest)) func(*csr) {
		return func(r *csr) { r.Spec.Request = request(t, change) }
	}
	for name, test := range map[string]struct {
		change func(*csr)
		want   string // "": approved
	}{
		"its own":      {func(*csr) {}, ""},
		"address only": {asks(func(r *x509.CertificateRequest) { r.DNSNames = nil }), ""},
		"more of its own": {func(r *csr) {
			r.Spec.Username = "system:node:w2"
			r.Spec.Request = request(t, func(r *x509.CertificateRequest) {
				r.Subject.CommonName = "system:node:w2"
				r.DNSNames = []string{"w2", "two.example"}
				r.IPAddresses = []net.IP{net.ParseIP("10.0.0.3"), net.ParseIP("fd00::3")}
			})
		}, ""},
		"a person":           {func(r *csr) { r.Spec.Username = "ann" }, "no kubelet"},
		"not in the group":   {func(r *csr) { r.Spec.Groups = []string{"system:authenticated"} }, "no kubelet"},
		"an unknown machine": {func(r *csr) { r.Spec.Username = "system:node:w9" }, "not in the inventory"},
		"a client's":         {func(r *csr) { r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageClientAuth) }, "client auth"},
		"no server's":        {func(r *csr) { r.Spec.Usages = r.Spec.Usages[:1] }, "not for serving"},
		"another's name":     {asks(func(r *x509.CertificateRequest) { r.DNSNames = []string{"w1", "w2"} }), `"w2"`},
		"a wildcard":         {asks(func(r *x509.CertificateRequest) { r.DNSNames = []string{"*"} }), `"*"`},
		"the API's name":     {asks(func(r *x509.CertificateRequest) { r.DNSNames = []string{"kubernetes.default.svc"} }), "kubernetes"},
		"another's address":  {asks(func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.ParseIP("10.0.0.3")} }), "10.0.0.3"},
		"loopback":           {asks(func(r *x509.CertificateRequest) { r.IPAddresses = []net.IP{net.IPv6loopback} }), "::1"},
		"nothing":            {asks(func(r *x509.CertificateRequest) { r.DNSNames, r.IPAddresses = nil, nil }), "nothing to serve"},
		"mail":               {asks(func(r *x509.CertificateRequest) { r.EmailAddresses = []string{"a@w1"} }), "mail"},
		"a URI":              {asks(func(r *x509.CertificateRequest) { r.URIs = []*url.URL{{Scheme: "spiffe", Host: "w1"}} }), "URI"},
		"another's subject":  {asks(func(r *x509.CertificateRequest) { r.Subject.CommonName = "system:node:w2" }), "subject"},
		"masters":            {asks(func(r *x509.CertificateRequest) { r.Subject.Organization = []string{"system:masters"} }), "subject"},
		"masters beside": {asks(func(r *x509.CertificateRequest) {
			r.Subject.Organization = append(r.Subject.Organization, "system:masters")
		}), "subject"},
		"a unit in subject": {asks(func(r *x509.CertificateRequest) { r.Subject.OrganizationalUnit = []string{"x"} }), "subject"},
		"no request":        {func(r *csr) { r.Spec.Request = []byte("x") }, "PEM"},
		"two requests":      {func(r *csr) { r.Spec.Request = append(r.Spec.Request, request(t, nil)...) }, "PEM"},
		"a broken signature": {func(r *csr) {
			b, _ := pem.Decode(r.Spec.Request)
			b.Bytes[len(b.Bytes)-1] ^= 1
			r.Spec.Request = pem.EncodeToMemory(b)
		}, "verif"},
		"a name that is none": {func(r *csr) { r.Spec.Username = "system:node:" }, "not in the inventory"},
	} {
		t.Run(name, func(t *testing.T) {
			r := kubelets(t, "r")
			test.change(r)
			err := c.decide(r)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("not approved: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		`{"kubeconfig":"k"}`:                                                   "absolute",
		`{"kubeconfig":"/k","machines":[{"name":""}]}`:                         "no name",
		`{"kubeconfig":"/k","machines":[{"name":"a"},{"name":"a"}]}`:           "twice",
		`{"kubeconfig":"/k","machines":[{"name":"a","address":"10.0.0.0/8"}]}`: "ParseAddr",
		`{"kubeconfig":"/k","signers":[]}`:                                     "unknown field",
	} {
		if _, err := parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", text, err, want)
		}
	}
}
