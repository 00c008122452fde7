package approval

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"provision/components/agent/certificates"
)

// RenewalSigner is ours: a machine's own identities, once more. Its requests are signed
// here, on a master; the controller manager knows nothing of it.
const RenewalSigner = "provision.internal/renewal"

// identity is whom a certificate makes somebody.
type identity struct {
	commonName    string
	organizations []string
}

// own are the identities of a machine, by any of which it does nothing to others.
func own(machine string) []identity {
	return []identity{
		{"system:node:" + machine, []string{"system:nodes"}},
		{"provision:agent:" + machine, []string{"provision:agents"}},
		{"system:kube-proxy", nil},
	}
}

// renews returns which identity a request may be signed for. The sender is a kubelet, by
// the API server's word, and may have what its own machine is and nothing else.
func (c config) renews(csr *certificatesv1.CertificateSigningRequest) (identity, error) {
	name, ok := strings.CutPrefix(csr.Spec.Username, "system:node:")
	if !ok || !slices.Contains(csr.Spec.Groups, "system:nodes") {
		return identity{}, fmt.Errorf("%q is no kubelet", csr.Spec.Username)
	}
	if !slices.ContainsFunc(c.Machines, func(m machine) bool { return m.Name == name }) {
		return identity{}, fmt.Errorf("machine %q is not in the inventory", name)
	}
	for _, usage := range csr.Spec.Usages {
		switch usage {
		case certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature:
		default:
			return identity{}, fmt.Errorf("usage %q is not a client's", usage)
		}
	}
	block, rest := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return identity{}, fmt.Errorf("it is not one certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return identity{}, err
	}
	if len(request.DNSNames)+len(request.IPAddresses)+len(request.EmailAddresses)+len(request.URIs) > 0 {
		return identity{}, fmt.Errorf("it names what it would serve as")
	}
	for _, one := range own(name) {
		if request.Subject.CommonName == one.commonName && slices.Equal(request.Subject.Organization, one.organizations) {
			return one, nil
		}
	}
	return identity{}, fmt.Errorf("its subject %q is none of machine %s's", request.Subject, name)
}

// renew approves a request and signs it.
func (a *approver) renew(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) error {
	who, err := a.config.renews(csr)
	if err != nil {
		return err
	}
	certificate, err := certificates.SignMachine(a.config.PKI, csr.Spec.Request, who.commonName, who.organizations, time.Duration(a.config.LifetimeSeconds)*time.Second)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	approved := csr.DeepCopy()
	approved.Status.Conditions = append(approved.Status.Conditions, condition("OwnIdentity", "it is the machine's own identity"))
	var answer certificatesv1.CertificateSigningRequest
	if err := a.client.Put().Resource(resource).Name(csr.Name).SubResource("approval").Body(approved).Do(ctx).Into(&answer); err != nil {
		return err
	}
	answer.Status.Certificate = certificate
	return a.client.Put().Resource(resource).Name(csr.Name).SubResource("status").Body(&answer).Do(ctx).Error()
}

// waitFor is between two looks for an answer.
const waitFor = 300 * time.Millisecond

// Renewer asks a master, through the API, as the kubelet of this machine.
func Renewer(kubeconfig string) (certificates.Signer, error) {
	client, err := connect(kubeconfig)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, request []byte) ([]byte, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		csr := &certificatesv1.CertificateSigningRequest{
			TypeMeta:   metav1.TypeMeta{APIVersion: "certificates.k8s.io/v1", Kind: "CertificateSigningRequest"},
			ObjectMeta: metav1.ObjectMeta{GenerateName: "provision-renewal-"},
			Spec: certificatesv1.CertificateSigningRequestSpec{
				Request: request, SignerName: RenewalSigner,
				Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
			},
		}
		var made certificatesv1.CertificateSigningRequest
		if err := client.Post().Resource(resource).Body(csr).Do(ctx).Into(&made); err != nil {
			return nil, fmt.Errorf("ask for it: %w", err)
		}
		for {
			if len(made.Status.Certificate) > 0 {
				return made.Status.Certificate, nil
			}
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("request %s: no master has signed it", made.Name)
			case <-time.After(waitFor):
			}
			if err := client.Get().Resource(resource).Name(made.Name).Do(ctx).Into(&made); err != nil && ctx.Err() == nil {
				return nil, fmt.Errorf("request %s: %w", made.Name, err)
			}
		}
	}, nil
}
