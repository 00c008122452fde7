package plan

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"provision/components/failover"
	"provision/provisioner/config"
)

// TestTheFileTakesWhatTheClusterCan keeps the two places that know the shortest
// detection of one mind.
func TestTheFileTakesWhatTheClusterCan(t *testing.T) {
	for _, detect := range []time.Duration{failover.MinDetect, failover.MinDetect - time.Second} {
		path := filepath.Join(t.TempDir(), "cluster.hcl")
		text := "cluster \"c\" {\n  failover { detect = \"" + detect.String() + "\" }\n}\nmachine \"m1\" { address = \"192.0.2.1\" }\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, diags := config.Load(path, nil)
		if want := failover.Check(detect, 0) != nil; diags.HasErrors() != want {
			t.Errorf("%s: the cluster refuses it: %v, the file: %v", detect, want, diags.Diagnostics)
		}
	}
}
