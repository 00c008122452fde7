package templates

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestFlagsOfTheFile: they take the place of ours, or come before the last; lists add up.
func TestFlagsOfTheFile(t *testing.T) {
	v := APIServer{Process: process, Address: address, Port: 6443, Services: services, Domain: "cluster.local", EvictSeconds: 4}
	v.Flags = []Flag{{"audit-log-maxage", "10"}, {"enable-admission-plugins", "PodNodeSelector"}, {"profiling", "true"}, {"v", "4"},
		{"feature-gates", `A=true,"B"=50% of $HOME`}}
	unit := string(APIServerService(v))
	for want, times := range map[string]int{
		"  --audit-log-maxage=10 \\\n": 1, "--audit-log-maxage=": 1, "--audit-log-maxbackup=10": 1, "--enable-admission-plugins=": 2,
		"  --profiling=true\n": 1, "--profiling=": 1, "  --v=4 \\\n": 1,
		`  "--feature-gates=A=true,\"B\"=50%% of $$HOME" \` + "\n": 1,
	} {
		if got := strings.Count(unit, want); got != times {
			t.Errorf("%q is there %d times, want %d, in\n%s", want, got, times, unit)
		}
	}
	v.Flags = nil
	if again := string(APIServerService(v)); strings.Count(again, "\n") != strings.Count(unit, "\n")-3 {
		t.Errorf("three lines are more than without, and got\n%s", unit)
	}
	scheduler := string(SchedulerService(Scheduler{Process: process, Flags: []Flag{{"tls-min-version", "VersionTLS13"}}}))
	if !strings.Contains(scheduler, "\n  --tls-min-version=VersionTLS13\nRestart=") {
		t.Errorf("the last flag is\n%s", scheduler)
	}
}

func TestKubeletSettingsOfTheFile(t *testing.T) {
	text := KubeletYAML(KubeletConfig{Address: address, CgroupDriver: "systemd", StatusFrequency: "6s", Settings: map[string]any{
		"maxPods": json.Number("200"), "evictionHard": map[string]any{"memory.available": "500Mi"}, "featureGates": map[string]any{"A": true}}})
	var got struct {
		MaxPods      int
		EvictionHard map[string]string
		FeatureGates map[string]bool
		CgroupDriver string
	}
	if err := yaml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.MaxPods != 200 || got.EvictionHard["memory.available"] != "500Mi" || got.EvictionHard["nodefs.available"] != "2Gi" || !got.FeatureGates["A"] || got.CgroupDriver != "systemd" {
		t.Errorf("got %+v of\n%s", got, text)
	}
}

// TestARegistrysOwnCertificate: without mirrors it is about the registry itself.
func TestARegistrysOwnCertificate(t *testing.T) {
	want := "# Where images of this registry come from, the first that has them.\nserver = \"https://registry.example.org:5000\"\nca = \"/ca.crt\"\n"
	if got := string(HostsTOML(Hosts{Server: "https://registry.example.org:5000", CA: "/ca.crt"})); got != want {
		t.Errorf("got\n%s", got)
	}
}
