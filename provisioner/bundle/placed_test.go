package bundle

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/components/bundle/bundletest"
)

// A bundle that only machines have is planned with, and not sent.
func TestPlaced(t *testing.T) {
	data, _ := bundletest.Make(t, "1.35.4", map[string]string{"bin/agent": "agent"})
	file := filepath.Join(t.TempDir(), "bundle.tar.zst")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	placed, err := Placed(whole.RawManifest())
	if err != nil {
		t.Fatal(err)
	}
	defer placed.Close()
	if placed.ID() != whole.ID() || placed.Components().Files["bin/agent"] != whole.Components().Files["bin/agent"] {
		t.Errorf("%s is another than %s", placed.ID(), whole.ID())
	}
	_, err = placed.File("bin/agent")
	for _, err := range []error{err, placed.Send(t.Context(), io.Discard, nil)} {
		if err == nil || !strings.Contains(err.Error(), "is on machines, and not on this computer") {
			t.Errorf("sent: %v", err)
		}
	}
	if _, err := Placed([]byte("{}")); err == nil {
		t.Error("an empty manifest is taken for a bundle")
	}
}
