package worker_test

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"provision/components"
	"provision/components/actions"
	apibalancer "provision/components/balancer"
	"provision/components/componentstest"
	"provision/components/worker"
	"provision/overlay"
)

// planned returns the files that a bare machine is given, by base name, and its
// actions in words.
func planned(c components.Cluster, m components.MachineSpec, f components.Facts) (map[string]string, []string) {
	files := map[string]string{}
	var words []string
	for _, action := range slices.Concat(worker.Network(c, m, f), worker.Actions(c, m, f)) {
		words = append(words, action.String())
		if file, ok := action.(actions.File); ok {
			files[file.Path[strings.LastIndex(file.Path, "/")+1:]] = string(file.Content)
		}
	}
	return files, words
}

func kubelet(t *testing.T, text string) map[string]any {
	t.Helper()
	var config map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestKubeletOfTheMachine(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	master, w1 := c.Machines[0], c.Machines[1]
	for _, test := range []struct {
		name  string
		m     components.MachineSpec
		f     components.Facts
		field string
		want  any
	}{
		{"old control groups", w1, components.Facts{Cgroup: 1}, "cgroupDriver", "cgroupfs"},
		{"new control groups", w1, components.Facts{Cgroup: 2}, "cgroupDriver", "systemd"},
		{"the real resolver", w1, components.Facts{ResolvConf: "/run/systemd/resolve/resolv.conf"}, "resolvConf", "/run/systemd/resolve/resolv.conf"},
		{"no resolver", w1, components.Facts{}, "resolvConf", "/etc/provision/resolv.conf"},
		{"scores cannot be lowered", w1, components.Facts{}, "oomScoreAdj", float64(0)},
		{"scores can be lowered", w1, components.Facts{LowerOOM: true}, "oomScoreAdj", nil},
		{"a worker has no taint", w1, components.Facts{}, "registerWithTaints", nil},
		{"its own address", w1, components.Facts{}, "address", "192.0.2.2"},
		{"its own address", master, components.Facts{}, "address", "192.0.2.1"},
	} {
		files, _ := planned(c, test.m, test.f)
		if got := kubelet(t, files["kubelet.yaml"])[test.field]; got != test.want {
			t.Errorf("%s: %s is %v, not %v", test.name, test.field, got, test.want)
		}
	}
	files, _ := planned(c, master, components.Facts{})
	if !strings.Contains(files["kubelet.yaml"], `key: "node-role.kubernetes.io/control-plane"`) {
		t.Error("a master registers without its taint")
	}
	master.Taints = []components.Taint{}
	if files, _ = planned(c, master, components.Facts{}); strings.Contains(files["kubelet.yaml"], "registerWithTaints") {
		t.Error("a master that was told otherwise is tainted")
	}
}

// TestSafeKubelet pins what the CIS benchmark looks for.
func TestSafeKubelet(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	files, _ := planned(c, c.Machines[1], components.Facts{})
	config := kubelet(t, files["kubelet.yaml"])
	authentication := config["authentication"].(map[string]any)
	if authentication["anonymous"].(map[string]any)["enabled"] != false || config["authorization"].(map[string]any)["mode"] != "Webhook" {
		t.Errorf("anybody may ask: %v", authentication)
	}
	for field, want := range map[string]any{
		"readOnlyPort": float64(0), "protectKernelDefaults": true, "serverTLSBootstrap": true, "seccompDefault": true,
		"makeIPTablesUtilChains": false, "tlsMinVersion": "VersionTLS12", "failSwapOn": false, "failCgroupV1": false,
	} {
		if config[field] != want {
			t.Errorf("%s is %v, not %v", field, config[field], want)
		}
	}
}

func TestWhoAsksWhom(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	for i, want := range []map[string]string{
		{"kubelet.kubeconfig": "https://192.0.2.1:6443", "proxy.kubeconfig": "https://127.0.0.1:6444", "agent.kubeconfig": "https://127.0.0.1:6444"},
		{"kubelet.kubeconfig": "https://127.0.0.1:6444", "proxy.kubeconfig": "https://127.0.0.1:6444", "agent.kubeconfig": "https://127.0.0.1:6444"},
	} {
		files, _ := planned(c, c.Machines[i], components.Facts{})
		for name, server := range want {
			if !strings.Contains(files[name], "server: "+server+"\n") || strings.Contains(files[name], "key-data") {
				t.Errorf("%s of %s:\n%s", name, c.Machines[i].Name, files[name])
			}
		}
	}
}

func TestWireGuardIsAProcessWhereTheKernelHasNone(t *testing.T) {
	for _, test := range []struct {
		mode   string
		kernel bool
		want   overlay.Mode
	}{
		{"auto", true, overlay.Kernel}, {"auto", false, overlay.Userspace}, {"", false, overlay.Userspace},
		{"userspace", true, overlay.Userspace}, {"kernel", false, overlay.Kernel},
	} {
		c := componentstest.Cluster("m1", "w1")
		c.Overlay.Mode = test.mode
		f := components.Facts{Modules: map[string]bool{"wireguard": test.kernel}}
		files, words := planned(c, c.Machines[1], f)
		config, err := overlay.ParseConfig([]byte(files["overlay.json"]))
		if err != nil || config.Mode != test.want {
			t.Errorf("%q: mode %v (%v)", test.mode, config.Mode, err)
		}
		starts := slices.Contains(words, "start balancer, wireguard, overlay")
		if starts != (test.want == overlay.Userspace) {
			t.Errorf("%q with kernel %v: %q", test.mode, test.kernel, words)
		}
	}
}

func TestBalancerIsToldOfEveryMaster(t *testing.T) {
	c := componentstest.Cluster("m1", "m2", "w1")
	files, _ := planned(c, c.Machines[2], components.Facts{})
	config, err := apibalancer.Decode([]byte(files["balancer.json"]))
	if err != nil || len(config.Servers) != 2 {
		t.Errorf("%+v (%v)", config, err)
	}
}

// TestPrivateFiles pins the modes that the CIS benchmark looks for.
func TestPrivateFiles(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	for _, action := range slices.Concat(worker.Network(c, c.Machines[0], components.Facts{}), worker.Actions(c, c.Machines[0], components.Facts{})) {
		file, ok := action.(actions.File)
		private := ok && (strings.HasSuffix(file.Path, ".kubeconfig") || strings.HasSuffix(file.Path, "/kubelet.yaml"))
		if private && file.Mode != 0o600 {
			t.Errorf("%s has mode %o", file.Path, file.Mode)
		}
	}
}
