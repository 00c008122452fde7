package verify

import (
	"os"
	"strings"
	"testing"
)

// What status and verify say of the tunnel's limits (their own tests see that they
// do), whoever chooses this network reads first.
func TestLimitsAreInTheDocuments(t *testing.T) {
	const reach = "hostNetwork pods, kubelet, NodePorts"
	if !strings.Contains(Limit, reach) {
		t.Errorf("%q does not name %q", Limit, reach)
	}
	for name, said := range map[string][]string{
		"../../README.md":        {"*own* address (" + reach + ") is outside the tunnel", "NetworkPolicy objects are not enforced"},
		"../../docs/security.md": {"own address (" + reach + ") is outside of the tunnel", "no NetworkPolicy is enforced"},
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		flat := strings.Join(strings.Fields(string(text)), " ")
		for _, want := range said {
			if !strings.Contains(flat, want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
	}
}
