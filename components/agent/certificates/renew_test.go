package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/pki"
)

// TestRenewal: at half of their time a master's certificates are signed by itself, a
// worker's by whom it asks; before that nothing is done, and each says what it said.
func TestRenewal(t *testing.T) {
	const lifetime = 10 * time.Minute
	cluster := components.Cluster{
		Lifetime: lifetime,
		Network:  components.Network{Services: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local"},
		Machines: []components.MachineSpec{
			{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")},
			{Name: "w1", Role: components.Worker, Address: netip.MustParseAddr("10.0.0.2")},
		},
	}
	m1 := machine{"m1", filepath.Join(t.TempDir(), "pki")}
	w1 := machine{"w1", filepath.Join(t.TempDir(), "pki")}
	if err := (pki.Init{Agent: "/agent"}).Apply(t.Context(), m1, site{signer: m1}); err != nil {
		t.Fatal(err)
	}
	for i, on := range []machine{m1, w1} {
		issue := pki.Issue{Agent: "/agent", Signer: "m1", Leaves: pki.Leaves(cluster, cluster.Machines[i])}
		if err := issue.Apply(t.Context(), on, site{signer: m1}); err != nil {
			t.Fatal(err)
		}
	}
	nobody := func(context.Context, []byte) ([]byte, error) { return nil, errors.New("the API is down") }
	var asked []string
	master := func(_ context.Context, csr []byte) ([]byte, error) {
		block, _ := pem.Decode(csr)
		request, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			return nil, err
		}
		asked = append(asked, request.Subject.CommonName)
		return SignMachine(m1.dir, csr, request.Subject.CommonName, request.Subject.Organization, lifetime)
	}
	for i, on := range []machine{m1, w1} {
		before := map[string]string{}
		for _, leaf := range pki.Leaves(cluster, cluster.Machines[i]) {
			text, _ := os.ReadFile(filepath.Join(on.dir, leaf.Name+".crt"))
			before[leaf.Name] = string(text)
		}
		if renewed, err := store(on.dir).renew(t.Context(), int64(lifetime/time.Second), nobody, time.Now().Add(4*time.Minute)); len(renewed) > 0 || err != nil {
			t.Errorf("%s: before half of the time: %v, %v", on.name, renewed, err)
		}
		late := time.Now().Add(6 * time.Minute)
		if renewed, err := store(on.dir).renew(t.Context(), int64(lifetime/time.Second), nobody, late); (err == nil) != (on == m1) || (len(renewed) > 0) != (on == m1) {
			t.Errorf("%s: with nobody to ask: %v, %v", on.name, renewed, err)
		}
		if on == w1 {
			if renewed, err := store(on.dir).renew(t.Context(), int64(lifetime/time.Second), master, late); err != nil || len(renewed) != 3 {
				t.Errorf("%s: %v, %v", on.name, renewed, err)
			}
		}
		for name, text := range before {
			if now, _ := os.ReadFile(filepath.Join(on.dir, name+".crt")); string(now) == text {
				t.Errorf("%s: %s is the old one", on.name, name)
			}
		}
		facts := on.facts(t)
		facts.Certificates = withEnds(facts.Certificates, late)
		if again := pki.Wanted(cluster, cluster.Machines[i], facts, m1.facts(t), time.Now()); len(again) > 0 {
			t.Errorf("%s: what was renewed says something else: %v", on.name, again)
		}
	}
	slices.Sort(asked)
	if got := strings.Join(asked, " "); got != "provision:agent:w1 system:kube-proxy system:node:w1" {
		t.Errorf("asked for %s", got)
	}
}

// withEnds has every certificate live for long, so that only what it says counts.
func withEnds(facts map[string]components.CertFact, end time.Time) map[string]components.CertFact {
	for name, fact := range facts {
		fact.NotAfter = end.Add(time.Hour)
		facts[name] = fact
	}
	return facts
}
