package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components/pki"
)

// order is the order in which init makes its files; a kill leaves a beginning of it.
var order = []string{"cluster-ca.key", "cluster-ca.crt", "etcd-ca.key", "etcd-ca.crt", "front-proxy-ca.key", "front-proxy-ca.crt",
	"service-account.key", "service-account.pub", "encryption.yaml"}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

func TestInitIsCompletedAfterAKillAtAnyFile(t *testing.T) {
	whole := content(t, master(t))
	if got := slices.Sorted(maps.Keys(whole)); len(got) != len(order) {
		t.Fatalf("made %v", got)
	}
	for killed := range len(order) + 1 {
		dir := filepath.Join(t.TempDir(), "pki")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range order[:killed] {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(whole[name]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, ".etcd-ca.key.1.tmp"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(dir, "init", nil); err != nil {
			t.Fatalf("after %d files: %v", killed, err)
		}
		got := content(t, dir)
		if len(got) != len(order) {
			t.Errorf("after %d files: %v", killed, slices.Sorted(maps.Keys(got)))
		}
		for _, name := range order[:killed] {
			if got[name] != whole[name] {
				t.Errorf("after %d files: %s was replaced", killed, name)
			}
		}
		for _, name := range pki.Authorities {
			if _, _, err := store(dir).authority(name); err != nil {
				t.Errorf("after %d files: %s: %v", killed, name, err)
			}
		}
	}
}

func TestInitNeverMakesASecondAuthority(t *testing.T) {
	for lost, want := range map[string]string{"cluster-ca.key": "not its key", "service-account.key": "without its key"} {
		dir := master(t)
		if err := os.Remove(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		before := content(t, dir)
		_, err := run(dir, "init", nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: error %v", lost, err)
		}
		if !maps.Equal(before, content(t, dir)) {
			t.Errorf("without %s: something was written", lost)
		}
	}
	dir, other := master(t), content(t, master(t))
	if err := os.WriteFile(filepath.Join(dir, "etcd-ca.key"), []byte(other["etcd-ca.key"]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dir, "init", nil); err == nil || !strings.Contains(err.Error(), "belong together") {
		t.Errorf("with another's key: %v", err)
	}
}

func TestAuthoritiesSignOneAuthorityAtMost(t *testing.T) {
	certificate, _, err := store(master(t)).authority(pki.EtcdCA)
	if err != nil {
		t.Fatal(err)
	}
	if !certificate.IsCA || certificate.MaxPathLen != 1 || certificate.KeyUsage&x509.KeyUsageCertSign == 0 {
		t.Errorf("CA %v, path length %d, usage %b", certificate.IsCA, certificate.MaxPathLen, certificate.KeyUsage)
	}
	if years := time.Until(certificate.NotAfter).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("%f years", years)
	}
}

func TestAuthoritiesTravelWhole(t *testing.T) {
	first := master(t)
	exported, err := run(first, "export-authorities", nil)
	if err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(t.TempDir(), "pki")
	for range 2 {
		if _, err := run(second, "import-authorities", bytes.NewReader(exported)); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(content(t, first), content(t, second)) {
		t.Error("the second master has something else")
	}
	modes(t, second)
	if _, err := run(second, "init", nil); err != nil || !maps.Equal(content(t, first), content(t, second)) {
		t.Errorf("init on the second master: %v", err)
	}

	stranger := master(t)
	before := content(t, stranger)
	if _, err := run(stranger, "import-authorities", bytes.NewReader(exported)); err == nil || !strings.Contains(err.Error(), "another one") {
		t.Errorf("onto another cluster's master: %v", err)
	}
	if !maps.Equal(before, content(t, stranger)) {
		t.Error("something was written over another cluster's")
	}

	var files authorityFiles
	if err := json.Unmarshal(exported, &files); err != nil {
		t.Fatal(err)
	}
	files.Files["../passwd"] = "x"
	delete(files.Files, "encryption.yaml")
	text, _ := json.Marshal(files)
	if _, err := run(filepath.Join(t.TempDir(), "pki"), "import-authorities", bytes.NewReader(text)); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("with a file of another name: %v", err)
	}
}
