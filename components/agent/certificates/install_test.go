package certificates

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/components/pki"
)

// asked has a machine ask a master for one leaf.
func asked(t *testing.T, dir, signer string) pki.Signed {
	t.Helper()
	in, _ := json.Marshal(pki.LeafList{Leaves: []pki.Leaf{leaf()}})
	out, err := run(dir, "request", bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := run(signer, "sign", bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var answer pki.Signed
	if err := json.Unmarshal(signed, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func install(t *testing.T, dir string, signed pki.Signed) error {
	t.Helper()
	in, err := json.Marshal(signed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = run(dir, "install", bytes.NewReader(in))
	return err
}

func TestKeysAreKeptAndDamagedOnesReplaced(t *testing.T) {
	signer, dir := master(t), filepath.Join(t.TempDir(), "pki")
	asked(t, dir, signer)
	key := content(t, dir)["kubelet.key"]
	signed := asked(t, dir, signer)
	if content(t, dir)["kubelet.key"] != key {
		t.Error("a sound key was replaced")
	}
	if err := install(t, dir, signed); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kubelet.key"), []byte(key[:50]), 0o600); err != nil {
		t.Fatal(err)
	}
	facts := machine{"w1", dir}.facts(t)
	if facts.Certificates["kubelet"].Authority != "" {
		t.Error("a certificate whose key is damaged passes for a good one")
	}
	if err := install(t, dir, asked(t, dir, signer)); err != nil {
		t.Fatal(err)
	}
	if content(t, dir)["kubelet.key"] == key {
		t.Error("the damaged key is still there")
	}
}

func TestInstallRefusesAndWritesNothing(t *testing.T) {
	signer, stranger := master(t), master(t)
	dir := filepath.Join(t.TempDir(), "pki")
	good := asked(t, dir, signer)
	others := asked(t, filepath.Join(t.TempDir(), "pki"), signer)
	foreign := asked(t, dir, stranger)
	renamed := good.Certificates[0]
	renamed.Leaf.CommonName = "system:node:w2"
	path := good.Certificates[0]
	path.Leaf.Name = "../kubelet"
	before := content(t, dir)
	for name, test := range map[string]struct {
		signed pki.Signed
		want   string
	}{
		"nothing":               {pki.Signed{}, "0 certificates"},
		"another's key":         {others, "another key"},
		"another authority":     {pki.Signed{Authorities: good.Authorities, Certificates: foreign.Certificates}, "unknown authority"},
		"no authority":          {pki.Signed{Certificates: good.Certificates}, "is missing"},
		"odd authority":         {pki.Signed{Authorities: map[string]string{"../x": ""}, Certificates: good.Certificates}, "unknown"},
		"leaf as authority":     {pki.Signed{Authorities: map[string]string{pki.ClusterCA: good.Certificates[0].Certificate}, Certificates: good.Certificates}, "no authority's"},
		"another common name":   {pki.Signed{Authorities: good.Authorities, Certificates: []pki.Certificate{renamed}}, "another name"},
		"a path for a name":     {pki.Signed{Authorities: good.Authorities, Certificates: []pki.Certificate{path}}, "no name"},
		"a good and a bad one":  {pki.Signed{Authorities: good.Authorities, Certificates: []pki.Certificate{good.Certificates[0], renamed}}, "another name"},
		"no certificate at all": {pki.Signed{Authorities: good.Authorities, Certificates: []pki.Certificate{{Leaf: leaf(), Certificate: "x"}}}, "no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := install(t, dir, test.signed); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if !maps.Equal(before, content(t, dir)) {
				t.Error("something was written")
			}
		})
	}
	// A master never takes another authority for the one whose key it holds.
	in := asked(t, signer, stranger)
	if err := install(t, signer, in); err == nil || !strings.Contains(err.Error(), "key of another") {
		t.Errorf("a stranger's authority on a master: %v", err)
	}
	if err := install(t, dir, good); err != nil {
		t.Error(err)
	}
}
