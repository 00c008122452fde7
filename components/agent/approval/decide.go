package approval

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// open says that nobody has decided about a request yet.
func open(csr *certificatesv1.CertificateSigningRequest) bool {
	return (csr.Spec.SignerName == certificatesv1.KubeletServingSignerName || csr.Spec.SignerName == RenewalSigner) &&
		len(csr.Status.Certificate) == 0 && len(csr.Status.Conditions) == 0
}

// decide returns why a request must not be approved, or nil. What the API
// server wrote into it (user, groups) is believed; what the kubelet wrote is not.
func (c config) decide(csr *certificatesv1.CertificateSigningRequest) error {
	name, ok := strings.CutPrefix(csr.Spec.Username, "system:node:")
	if !ok || !slices.Contains(csr.Spec.Groups, "system:nodes") {
		return fmt.Errorf("%q is no kubelet", csr.Spec.Username)
	}
	i := slices.IndexFunc(c.Machines, func(m machine) bool { return m.Name == name })
	if i < 0 {
		return fmt.Errorf("machine %q is not in the inventory", name)
	}
	if err := usages(csr.Spec.Usages); err != nil {
		return err
	}
	block, rest := pem.Decode(csr.Spec.Request)
	if block == nil || block.Type != "CERTIFICATE REQUEST" || len(strings.TrimSpace(string(rest))) > 0 {
		return fmt.Errorf("it is not one certificate request in PEM")
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	if err := request.CheckSignature(); err != nil {
		return err
	}
	subject := request.Subject
	if subject.CommonName != csr.Spec.Username || !slices.Equal(subject.Organization, []string{"system:nodes"}) || len(subject.Names) != 2 {
		return fmt.Errorf("its subject %q is not its sender's", subject)
	}
	return c.Machines[i].covers(request)
}

// covers checks every name that the certificate would be valid for.
func (m machine) covers(request *x509.CertificateRequest) error {
	if len(request.EmailAddresses)+len(request.URIs) > 0 {
		return fmt.Errorf("it names mail addresses or URIs")
	}
	if len(request.DNSNames)+len(request.IPAddresses) == 0 {
		return fmt.Errorf("it names nothing to serve as")
	}
	for _, name := range request.DNSNames {
		if !m.hasName(name) {
			return fmt.Errorf("DNS name %q is not machine %s's", name, m.Name)
		}
	}
	for _, ip := range request.IPAddresses {
		if address, ok := netip.AddrFromSlice(ip); !ok || !m.hasAddress(address) {
			return fmt.Errorf("address %s is not machine %s's", ip, m.Name)
		}
	}
	return nil
}

func usages(asked []certificatesv1.KeyUsage) error {
	if !slices.Contains(asked, certificatesv1.UsageServerAuth) {
		return fmt.Errorf("it is not for serving")
	}
	for _, usage := range asked {
		switch usage {
		case certificatesv1.UsageServerAuth, certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment:
		default:
			return fmt.Errorf("usage %q is not a serving certificate's", usage)
		}
	}
	return nil
}
