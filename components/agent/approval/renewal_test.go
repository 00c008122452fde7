package approval

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// A machine gets what it is itself, and nothing else.
func TestOnlyOwnIdentitiesAreRenewed(t *testing.T) {
	c, err := parse([]byte(inventory))
	if err != nil {
		t.Fatal(err)
	}
	type csr = certificatesv1.CertificateSigningRequest
	subject := func(name string, organizations ...string) func(*csr) {
		return func(r *csr) {
			r.Spec.Request = request(t, func(r *x509.CertificateRequest) {
				r.Subject = pkix.Name{CommonName: name, Organization: organizations}
				r.DNSNames, r.IPAddresses = nil, nil
			})
		}
	}
	for name, test := range map[string]struct {
		change func(*csr)
		want   string // "": signed
	}{
		"its kubelet":          {subject("system:node:w1", "system:nodes"), ""},
		"its agent":            {subject("provision:agent:w1", "provision:agents"), ""},
		"kube-proxy":           {subject("system:kube-proxy"), ""},
		"another's kubelet":    {subject("system:node:w2", "system:nodes"), "none of machine w1's"},
		"administrators":       {subject("provision:admin", "provision:admins"), "none of machine w1's"},
		"masters":              {subject("system:node:w1", "system:masters"), "none of machine w1's"},
		"masters beside":       {subject("system:node:w1", "system:nodes", "system:masters"), "none of machine w1's"},
		"the API server":       {subject("provision:apiserver", "provision:apiservers"), "none of machine w1's"},
		"names to serve as":    {func(*csr) {}, "what it would serve as"},
		"a person":             {func(r *csr) { subject("system:kube-proxy")(r); r.Spec.Username = "ann" }, "no kubelet"},
		"a kubelet's namesake": {func(r *csr) { subject("system:kube-proxy")(r); r.Spec.Groups = nil }, "no kubelet"},
		"an unknown machine":   {func(r *csr) { subject("system:kube-proxy")(r); r.Spec.Username = "system:node:w9" }, "not in the inventory"},
		"for serving": {func(r *csr) {
			subject("system:kube-proxy")(r)
			r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageServerAuth)
		}, "not a client's"},
		"no request": {func(r *csr) { r.Spec.Request = []byte("x") }, "PEM"},
	} {
		r := kubelets(t, "r")
		r.Spec.SignerName = RenewalSigner
		r.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
		test.change(r)
		_, err := c.renews(r)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: not signed: %v", name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}
