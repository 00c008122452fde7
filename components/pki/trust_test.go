package pki

import (
	"context"
	"encoding/pem"
	"io/fs"
	"testing"

	"provision/components"
	"provision/components/actions"
)

// paper is a machine that only takes files.
type paper struct {
	components.Machine
	written map[string]string
}

func (p paper) WriteFile(_ context.Context, name string, _ fs.FileMode, data []byte) error {
	p.written[name] = string(data)
	return nil
}

// What no master tells is not written: nobody would be trusted any more.
func TestWriteTrustWantsCertificates(t *testing.T) {
	one := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("one")}))
	two := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("two")}))
	key := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("key")}))
	for name, test := range map[string]struct {
		content string
		written bool
	}{
		"one":                  {one, true},
		"two":                  {Bundle(two, one), true},
		"nothing":              {"", false},
		"what is not made yet": {Bundle(one, "the next cluster-ca"), false},
		"a key":                {one + key, false},
	} {
		t.Run(name, func(t *testing.T) {
			on := paper{written: map[string]string{}}
			write := WriteTrust{actions.File{Of: "pki", Path: TrustFile(ClusterCA), Mode: 0o644, Content: []byte(test.content)}}
			err := write.Apply(t.Context(), on, nil)
			if _, there := on.written[TrustFile(ClusterCA)]; there != test.written || (err == nil) != test.written {
				t.Errorf("written %v: %v", there, err)
			}
		})
	}
}

func TestTrusted(t *testing.T) {
	certificate := func(text string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(text)}))
	}
	old, next := certificate("old"), certificate("next")
	for name, test := range map[string]struct {
		has  map[string]string // by name, as facts have it
		want components.Trust
	}{
		"one":              {map[string]string{"cluster-ca": old}, components.Trust{All: old, Settled: old}},
		"before it signs":  {map[string]string{"cluster-ca": old, "next/cluster-ca": next}, components.Trust{All: Bundle(old, next), Settled: old}},
		"when it signs":    {map[string]string{"cluster-ca": next, "previous/cluster-ca": old}, components.Trust{All: Bundle(old, next), Settled: old}},
		"what is no PEM":   {map[string]string{"cluster-ca": old, "next/cluster-ca": "next"}, components.Trust{All: old, Settled: old}},
		"more than it is":  {map[string]string{"cluster-ca": old, "next/cluster-ca": next + old}, components.Trust{All: old, Settled: old}},
		"no authority yet": {nil, components.Trust{}},
	} {
		f := components.Facts{Certificates: map[string]components.CertFact{}}
		for name, text := range test.has {
			f.Certificates[name] = components.CertFact{PEM: text}
		}
		if got := Trusted(f)[ClusterCA]; got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
