package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSettingsOfComponents: what a machine says is laid over what the cluster says.
func TestSettingsOfComponents(t *testing.T) {
	file, shown := load(t, `
		cluster "site" {
			max_unavailable = 2
			sysctls         = { "net.core.somaxconn" = 4096, "net.ipv4.tcp_rmem" = "4096  131072\t6291456" }
			kubelet {
				max_pods = 200
				settings = { evictionHard = { "memory.available" = "500Mi", "nodefs.available" = "1Gi" }, logging = { verbosity = 4 }, providerID = null }
			}
			apiserver { extra_args = { v = 4, "audit-log-maxage" = "10" } }
			scheduler { extra_args = {} }
			api { extra_sans = ["K8s.example.org.", "203.0.113.7"] }
			registry "docker.io" { mirrors = ["http://10.0.0.5:5000/", "https://harbor.example.org/v2/hub"] }
			registry "registry.example.org:5000" { skip_verify = true }
		}
		machine "m1" { address = "10.0.0.1" }
		machine "w1" {
			address = "10.0.0.2"
			sysctls = { "net.core.somaxconn" = 8192 }
			kubelet { settings = { evictionHard = { "memory.available" = "1Gi" }, maxPods = 50 } }
		}`, nil)
	if shown != "" {
		t.Fatal(shown)
	}
	c := file.Cluster
	for _, is := range []struct{ got, want any }{
		{c.MaxUnavailable, Amount{Count: 2}},
		{c.Flags, Flags{APIServer: []Flag{{"audit-log-maxage", "10"}, {"v", "4"}}}},
		{c.API.ExtraSANs, []string{"k8s.example.org", "203.0.113.7"}},
		{c.Registries, []Registry{
			{Host: "docker.io", Mirrors: []string{"http://10.0.0.5:5000", "https://harbor.example.org/v2/hub"}},
			{Host: "registry.example.org:5000", SkipVerify: true},
		}},
		{file.Machines[0].Sysctls, map[string]string{"net.core.somaxconn": "4096", "net.ipv4.tcp_rmem": "4096 131072 6291456"}},
		{file.Machines[1].Sysctls, map[string]string{"net.core.somaxconn": "8192", "net.ipv4.tcp_rmem": "4096 131072 6291456"}},
		{file.Machines[0].Kubelet, map[string]any{
			"maxPods":      json.Number("200"),
			"evictionHard": map[string]any{"memory.available": "500Mi", "nodefs.available": "1Gi"},
			"logging":      map[string]any{"verbosity": json.Number("4")},
		}},
		{file.Machines[1].Kubelet, map[string]any{
			"maxPods":      json.Number("50"),
			"evictionHard": map[string]any{"memory.available": "1Gi", "nodefs.available": "1Gi"},
			"logging":      map[string]any{"verbosity": json.Number("4")},
		}},
	} {
		if diff := cmp.Diff(is.want, is.got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestMorePodsThanAddresses(t *testing.T) {
	_, shown := load(t, `
		cluster "site" {
			kubelet { max_pods = 254 }
		}
		machine "m1" { address = "10.0.0.1" }`, nil)
	if want := "Too many pods"; !strings.Contains(shown, want) {
		t.Errorf("got %q", shown)
	}
}
