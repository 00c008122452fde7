package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
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

// run calls a verb as a machine does and returns its standard output.
func run(dir, verb string, stdin io.Reader) ([]byte, error) {
	command := NewCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	var out bytes.Buffer
	command.SetArgs([]string{verb, "--dir", dir})
	command.SetIn(stdin)
	command.SetOut(&out)
	err := command.Execute()
	return out.Bytes(), err
}

func master(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pki")
	if _, err := run(dir, "init", nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// machine is a components.Machine with nothing but the agent's certificates.
type machine struct {
	name, dir string
}

func (m machine) Name() string { return m.name }
func (m machine) Run(_ context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	if !slices.Equal(argv[:2], []string{"/agent", "certificates"}) || !slices.Equal(argv[3:], []string{"--dir", components.PKI}) {
		return nil, errors.New("argv: " + strings.Join(argv, " "))
	}
	return run(m.dir, argv[2], stdin)
}
func (m machine) ReadFile(context.Context, string) ([]byte, error) { return nil, fs.ErrNotExist }
func (m machine) WriteFile(context.Context, string, fs.FileMode, []byte) error {
	return errors.New("not expected")
}

// facts are those that the machine itself can tell.
func (m machine) facts(t *testing.T) components.Facts {
	t.Helper()
	facts := components.Facts{Files: map[string]components.FileFact{}}
	out, err := run(m.dir, "list", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &facts.Certificates); err != nil {
		t.Fatal(err)
	}
	for _, name := range pki.Authorities {
		if text, err := os.ReadFile(filepath.Join(m.dir, name+".crt")); err == nil {
			facts.Files[components.PKI+"/"+name+".crt"] = components.FileFact{SHA256: components.Sum(text)}
		}
	}
	return facts
}

type site struct {
	components.Site
	signer machine
}

func (s site) Machine(string) (components.Machine, error) { return s.signer, nil }

// The whole way: facts, what is wanted, the actions, and facts again.
func TestOnePlanIsEnough(t *testing.T) {
	cluster := components.Cluster{
		Network: components.Network{Services: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local"},
		Machines: []components.MachineSpec{
			{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")},
			{Name: "w1", Role: components.Worker, Address: netip.MustParseAddr("10.0.0.2")},
		},
	}
	m1 := machine{"m1", filepath.Join(t.TempDir(), "pki")}
	w1 := machine{"w1", filepath.Join(t.TempDir(), "pki")}
	ctx := context.Background()
	if err := (pki.Init{Agent: "/agent"}).Apply(ctx, m1, site{signer: m1}); err != nil {
		t.Fatal(err)
	}
	for i, on := range []machine{m1, w1} {
		spec := cluster.Machines[i]
		wanted := pki.Wanted(cluster, spec, on.facts(t), m1.facts(t), time.Now())
		if len(wanted) != len(pki.Leaves(cluster, spec)) {
			t.Fatalf("%s: only %d leaves wanted of a machine without any", on.name, len(wanted))
		}
		issue := pki.Issue{Agent: "/agent", Signer: "m1", Leaves: wanted}
		if err := issue.Apply(ctx, on, site{signer: m1}); err != nil {
			t.Fatal(err)
		}
		if again := pki.Wanted(cluster, spec, on.facts(t), m1.facts(t), time.Now()); len(again) != 0 {
			t.Errorf("%s: still wanted: %+v\n%+v", on.name, again, on.facts(t))
		}
	}
	for _, secret := range []string{"cluster-ca.key", "etcd-ca.crt", "front-proxy-ca.crt", "service-account.key", "encryption.yaml"} {
		if _, err := os.Stat(filepath.Join(w1.dir, secret)); err == nil {
			t.Errorf("the worker has %s", secret)
		}
	}
	modes(t, m1.dir)
	modes(t, w1.dir)

	cluster.Lifetime = 10 * time.Minute
	late := time.Now().Add(360 * 24 * time.Hour)
	if again := pki.Wanted(cluster, cluster.Machines[1], w1.facts(t), m1.facts(t), late); len(again) != 0 {
		t.Errorf("with hours left of minutes wanted: %v", again)
	}
	cluster.Machines[0].Address = netip.MustParseAddr("10.0.0.9")
	again := pki.Wanted(cluster, cluster.Machines[0], m1.facts(t), m1.facts(t), time.Now())
	if len(again) != 2 || again[0].Name != "apiserver" || again[1].Name != "etcd" {
		t.Errorf("after the master's address changed: %v", again)
	}
}

// modes checks that nothing secret is readable by others.
func modes(t *testing.T, dir string) {
	t.Helper()
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", dir, info.Mode(), err)
	}
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		want := fs.FileMode(0o600)
		if strings.HasSuffix(entry.Name(), ".crt") || strings.HasSuffix(entry.Name(), ".pub") {
			want = 0o644
		}
		if info, err := entry.Info(); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", entry.Name(), info.Mode(), err, want)
		}
	}
}

func csr(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "cluster-admin", Organization: []string{"system:masters"}},
		DNSNames: []string{"evil.example"},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func leaf() pki.Leaf {
	return pki.Leaf{Name: "kubelet", Authority: pki.ClusterCA, CommonName: "system:node:w1", Organizations: []string{"system:nodes"},
		Names: []string{"w1", "10.0.0.2"}, Usages: []string{pki.Client}, LifetimeSeconds: 120}
}

func sign(t *testing.T, dir string, requests ...pki.Request) (pki.Signed, error) {
	t.Helper()
	in, err := json.Marshal(pki.Requests{Requests: requests})
	if err != nil {
		t.Fatal(err)
	}
	out, err := run(dir, "sign", bytes.NewReader(in))
	if err != nil {
		return pki.Signed{}, err
	}
	var signed pki.Signed
	return signed, json.Unmarshal(out, &signed)
}

func TestOnlyTheKeyOfARequestIsBelieved(t *testing.T) {
	dir := master(t)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsa2048, _ := rsa.GenerateKey(rand.Reader, 2048)
	for _, key := range []any{p384, ed, rsa2048} {
		signed, err := sign(t, dir, pki.Request{Leaf: leaf(), CSR: csr(t, key)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseCertificate("", []byte(signed.Certificates[0].Certificate))
		if err != nil {
			t.Fatal(err)
		}
		if got.Subject.String() != "CN=system:node:w1,O=system:nodes" || !slices.Equal(got.DNSNames, []string{"w1"}) ||
			len(got.IPAddresses) != 1 || got.IsCA || len(got.ExtKeyUsage) != 1 || got.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
			t.Errorf("signed %v %v %v CA=%v %v", got.Subject, got.DNSNames, got.IPAddresses, got.IsCA, got.ExtKeyUsage)
		}
		if left := time.Until(got.NotAfter); left > 2*time.Minute || left < time.Minute || time.Since(got.NotBefore) < 30*time.Minute {
			t.Errorf("valid from %v to %v", got.NotBefore, got.NotAfter)
		}
		if len(signed.Authorities) != 1 || signed.Authorities[pki.ClusterCA] == "" {
			t.Errorf("authorities: %v", signed.Authorities)
		}
	}
}

func TestSignRefuses(t *testing.T) {
	dir := master(t)
	good, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p224, _ := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil { // newer Go refuses to make one: a number of that size does as well
		t.Log(err)
	}
	authorityKey, err := store(dir).key("cluster-ca.key")
	if err != nil {
		t.Fatal(err)
	}
	tampered := []byte(csr(t, good))
	block, _ := pem.Decode(tampered)
	block.Bytes[len(block.Bytes)-1] ^= 1
	with := func(change func(*pki.Leaf)) pki.Leaf { l := leaf(); change(&l); return l }
	tests := map[string]struct {
		request pki.Request
		want    string
	}{
		"P-224":             {pki.Request{Leaf: leaf(), CSR: csr(t, p224)}, "none of EC"},
		"no request":        {pki.Request{Leaf: leaf(), CSR: "hello"}, "no certificate request"},
		"signature":         {pki.Request{Leaf: leaf(), CSR: string(pem.EncodeToMemory(block))}, "verif"},
		"the CA's own key":  {pki.Request{Leaf: leaf(), CSR: csr(t, authorityKey)}, "authority's own"},
		"unknown authority": {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Authority = "service-account" }), CSR: csr(t, good)}, "unknown"},
		"authority's path":  {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Authority = "../pki/cluster-ca" }), CSR: csr(t, good)}, "unknown"},
		"name's path":       {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Name = "../kubelet" }), CSR: csr(t, good)}, "no name"},
		"an authority":      {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Name = "etcd-ca" }), CSR: csr(t, good)}, "no name"},
		"no subject":        {pki.Request{Leaf: with(func(l *pki.Leaf) { l.CommonName = "" }), CSR: csr(t, good)}, "subject"},
		"odd name":          {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Names = []string{"*"} }), CSR: csr(t, good)}, "neither"},
		"no usage":          {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Usages = nil }), CSR: csr(t, good)}, "no usage"},
		"code signing":      {pki.Request{Leaf: with(func(l *pki.Leaf) { l.Usages = []string{"code"} }), CSR: csr(t, good)}, "usage"},
		"for ever":          {pki.Request{Leaf: with(func(l *pki.Leaf) { l.LifetimeSeconds = 1 << 62 }), CSR: csr(t, good)}, "lifetime"},
	}
	if weak != nil {
		tests["RSA 1024"] = struct {
			request pki.Request
			want    string
		}{pki.Request{Leaf: leaf(), CSR: csr(t, weak)}, ""}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := sign(t, dir, test.request); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	many := slices.Repeat([]pki.Request{{Leaf: leaf(), CSR: csr(t, good)}}, pki.MaxLeaves+1)
	if _, err := sign(t, dir, many...); err == nil || !strings.Contains(err.Error(), "65 requests") {
		t.Errorf("65 requests: %v", err)
	}
	if _, err := run(dir, "sign", strings.NewReader(strings.Repeat(" ", maxInput+1))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("a large input: %v", err)
	}
}
