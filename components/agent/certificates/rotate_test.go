package certificates

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/components/pki"
)

// handed takes what one verb writes to another, on another machine.
func handed(t *testing.T, from, verb, to, other string) {
	t.Helper()
	out, err := run(from, verb, nil)
	if err == nil {
		_, err = run(to, other, bytes.NewReader(out))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func do(t *testing.T, dir string, verbs ...string) {
	t.Helper()
	for _, verb := range verbs {
		if _, err := run(dir, verb, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func text(t *testing.T, parts ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// spec is m1's.
func spec() (components.Cluster, components.MachineSpec) {
	m := components.MachineSpec{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")}
	return components.Cluster{
		Network:  components.Network{Services: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local"},
		Machines: []components.MachineSpec{m},
	}, m
}

func issue(t *testing.T, m1 machine, newKeys bool) {
	t.Helper()
	c, m := spec()
	issue := pki.Issue{Agent: "/agent", Signer: "m1", Leaves: pki.Leaves(c, m), NewKeys: newKeys}
	if err := issue.Apply(t.Context(), m1, site{signer: m1}); err != nil {
		t.Fatal(err)
	}
}

func TestOneAuthorityFollowsAnother(t *testing.T) {
	m1, m2 := machine{"m1", master(t)}, filepath.Join(t.TempDir(), "pki")
	handed(t, m1.dir, "export-authorities", m2, "import-authorities")
	issue(t, m1, false)
	old, server, key := text(t, m1.dir, "cluster-ca.crt"), text(t, m1.dir, "apiserver.crt"), text(t, m1.dir, "apiserver.key")

	do(t, m1.dir, "next", "next") // twice: what is there stays
	handed(t, m1.dir, "export-next", m2, "import-next")
	handed(t, m1.dir, "export-next", m2, "import-next")
	facts := m1.facts(t)
	next := pki.PEM(facts, "next", pki.ClusterCA)
	if trust := pki.Trusted(facts)[pki.ClusterCA]; trust.All != pki.Bundle(old, next) || trust.Settled != old || next == "" || next == old {
		t.Errorf("before it signs: %+v", trust)
	}

	for _, dir := range []string{m1.dir, m2} {
		do(t, dir, "switch", "switch")
		if now := text(t, dir, "cluster-ca.crt"); now != next {
			t.Errorf("%s signs with %s", dir, now)
		}
		if _, err := run(dir, "next", nil); err == nil || !strings.Contains(err.Error(), "not come to its end") {
			t.Errorf("another one on top: %v", err)
		}
		for _, authority := range pki.Authorities {
			if _, _, err := store(dir).authority(authority); err != nil {
				t.Errorf("%s: %v", authority, err)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "next")); !os.IsNotExist(err) {
			t.Errorf("next is still there: %v", err)
		}
	}
	facts = m1.facts(t)
	if trust := pki.Trusted(facts)[pki.ClusterCA]; trust.All != pki.Bundle(old, next) || trust.Settled != old {
		t.Errorf("when it signs: %+v", trust)
	}
	c, m := spec()
	if due := pki.Wanted(c, m, facts, facts, time.Now()); len(due) != len(pki.Leaves(c, m)) {
		t.Errorf("of the authority before, and not due: %d of %d", len(due), len(pki.Leaves(c, m)))
	}
	issue(t, m1, true)
	facts = m1.facts(t)
	if due := pki.Wanted(c, m, facts, facts, time.Now()); len(due) > 0 {
		t.Errorf("still due: %v", due)
	}
	if text(t, m1.dir, "apiserver.crt") == server || text(t, m1.dir, "apiserver.key") == key {
		t.Error("the API server has its old certificate or key")
	}

	// Whoever knows only one of the two knows the API server.
	pair, err := tls.LoadX509KeyPair(filepath.Join(m1.dir, "apiserver.crt"), filepath.Join(m1.dir, "apiserver.key"))
	if err != nil {
		t.Fatal(err)
	}
	between := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if !certificate.IsCA || certificate.MaxPathLen != 0 || !certificate.MaxPathLenZero {
			t.Errorf("what leads to the next authority could lead further: path length %d", certificate.MaxPathLen)
		}
		between.AddCert(certificate)
	}
	for name, root := range map[string]string{"the old authority": old, "the next one": next} {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM([]byte(root))
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "kubernetes.default"}); err != nil {
			t.Errorf("who knows %s: %v", name, err)
		}
	}

	do(t, m1.dir, "retire", "retire")
	if trust := pki.Trusted(m1.facts(t))[pki.ClusterCA]; trust.All != next || trust.Settled != next {
		t.Errorf("when the old one is retired: %+v", trust)
	}
	if err := os.RemoveAll(filepath.Join(m1.dir, "retired")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(m1.dir, "retired"), 0o700); err != nil { // as the power fails before the last step
		t.Fatal(err)
	}
	do(t, m1.dir, "next") // and once more
	issue(t, m1, false)
	if chain := text(t, m1.dir, "apiserver.crt"); strings.Count(chain, "BEGIN") != 1 {
		t.Errorf("what led from the old authority is still there: %s", chain)
	}
}

// TestSwitchTornAnywhere: a master that was cut off in the middle goes on from what it finds.
func TestSwitchTornAnywhere(t *testing.T) {
	for moved := range 1 + 2*len(pki.Authorities) {
		dir := master(t)
		do(t, dir, "next")
		old, next := text(t, dir, "etcd-ca.crt"), text(t, dir, "next", "etcd-ca.crt")
		if err := os.Mkdir(filepath.Join(dir, "previous"), 0o700); err != nil {
			t.Fatal(err)
		}
		for i := range moved { // as switchOver does it: an authority's key, then its certificate
			name := pki.Authorities[i/2]
			if i%2 == 0 {
				if err := os.WriteFile(filepath.Join(dir, "previous", name+".crt"), []byte(text(t, dir, name+".crt")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			end := []string{".key", ".crt"}[i%2]
			if err := os.Rename(filepath.Join(dir, "next", name+end), filepath.Join(dir, name+end)); err != nil {
				t.Fatal(err)
			}
		}
		do(t, dir, "switch")
		for _, authority := range pki.Authorities {
			if _, _, err := store(dir).authority(authority); err != nil {
				t.Errorf("after %d: %s: %v", moved, authority, err)
			}
		}
		if text(t, dir, "etcd-ca.crt") != next || text(t, dir, "previous", "etcd-ca.crt") != old || text(t, dir, "previous", "cluster-ca-cross.crt") == "" {
			t.Errorf("after %d: it did not come to its end", moved)
		}
	}
}

// TestNewKeyTornFromItsCertificate: between the two renames the pair does not fit; the next
// look at it makes it fit.
func TestNewKeyTornFromItsCertificate(t *testing.T) {
	m1 := machine{"m1", master(t)}
	issue(t, m1, false)
	c, m := spec()
	list, _ := json.Marshal(pki.LeafList{Leaves: pki.Leaves(c, m), NewKeys: true})
	if _, err := run(m1.dir, "request", bytes.NewReader(list)); err != nil {
		t.Fatal(err)
	}
	waiting := text(t, m1.dir, "pending", "etcd.key")
	requests, err := run(m1.dir, "request", bytes.NewReader(list)) // the run before was killed, who knows when
	if err != nil {
		t.Fatal(err)
	}
	if text(t, m1.dir, "pending", "etcd.key") == waiting {
		t.Error("a key that waited for long takes over")
	}
	out, err := run(m1.dir, "sign", bytes.NewReader(requests))
	if err != nil {
		t.Fatal(err)
	}
	var signed pki.Signed
	if err := json.Unmarshal(out, &signed); err != nil {
		t.Fatal(err)
	}
	// tear has a leaf's key taken over and its certificate not.
	tear := func(name string) {
		t.Helper()
		for _, certificate := range signed.Certificates {
			if certificate.Leaf.Name != name {
				continue
			}
			if err := os.WriteFile(filepath.Join(m1.dir, "pending", name+".crt"), []byte(certificate.Certificate), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(m1.dir, "pending", name+".key"), filepath.Join(m1.dir, name+".key")); err != nil {
				t.Fatal(err)
			}
			return
		}
		t.Fatalf("no certificate of %s", name)
	}
	tear("etcd")
	if _, err := tls.LoadX509KeyPair(filepath.Join(m1.dir, "etcd.crt"), filepath.Join(m1.dir, "etcd.key")); err == nil {
		t.Fatal("the pair fits: nothing is torn")
	}
	if renewed, err := store(m1.dir).renew(t.Context(), 365*24*3600, nil, time.Now()); err != nil || len(renewed) > 0 {
		t.Errorf("%v, %v", renewed, err)
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(m1.dir, "etcd.crt"), filepath.Join(m1.dir, "etcd.key")); err != nil {
		t.Error(err)
	}
	// The others can still be installed, one that is torn as well.
	tear("proxy")
	if _, err := run(m1.dir, "install", bytes.NewReader(out)); err != nil {
		t.Error(err)
	}
	facts := m1.facts(t)
	if due := pki.Wanted(c, m, facts, facts, time.Now()); len(due) > 0 {
		t.Errorf("due: %v", due)
	}
	if left, _ := os.ReadDir(filepath.Join(m1.dir, "pending")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestAnAuthorityThatVouchesForNoOther is of a cluster made before authorities followed
// each other: nothing is begun there, since `up` would wait for its end.
func TestAnAuthorityThatVouchesForNoOther(t *testing.T) {
	dir := master(t)
	_, key, err := store(dir).authority(pki.ClusterCA)
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := authorityTemplate(pki.ClusterCA, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	wanted.MaxPathLen, wanted.MaxPathLenZero = 0, true
	der, err := x509.CreateCertificate(rand.Reader, wanted, wanted, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cluster-ca.crt"), encodeCertificate(der), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dir, "next", nil); err == nil || !strings.Contains(err.Error(), "vouch for another") {
		t.Errorf("%v", err)
	}
	if store(dir).has("next") {
		t.Error("it was begun")
	}
}

func TestImportNextRefuses(t *testing.T) {
	m1, m2 := master(t), master(t)
	do(t, m1, "next")
	do(t, m2, "next")
	out, err := run(m1, "export-next", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(m2, "import-next", bytes.NewReader(out)); err == nil || !strings.Contains(err.Error(), "has another one") {
		t.Errorf("over others: %v", err)
	}
	all, err := run(m1, "export-authorities", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(filepath.Join(t.TempDir(), "pki"), "import-next", bytes.NewReader(all)); err == nil {
		t.Error("it took what signs now for what is to follow")
	}
	if _, err := run(master(t), "switch", nil); err == nil || !strings.Contains(err.Error(), "no authorities that are to follow") {
		t.Errorf("switch with none: %v", err)
	}
}
