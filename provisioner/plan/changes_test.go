package plan

import (
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/actions"
	"provision/components/addons"
	"provision/components/componentstest"
)

var update = flag.Bool("update", false, "rewrite docs/changes.md")

// change is one line of docs/changes.md: what somebody does to the file, or to a cluster
// that runs.
type change struct {
	what string // as docs/changes.md says it
	edit func(c *components.Cluster)
	harm func(t *testing.T, s *componentstest.Site)
}

func specOf(c *components.Cluster, name string) *components.MachineSpec {
	return &c.Machines[slices.IndexFunc(c.Machines, func(m components.MachineSpec) bool { return m.Name == name })]
}

var edits = []change{
	{what: "a label", edit: func(c *components.Cluster) { specOf(c, "w1").Labels = map[string]string{"disk": "ssd"} }},
	{what: "a taint", edit: func(c *components.Cluster) {
		specOf(c, "w1").Taints = []components.Taint{{Key: "dedicated", Value: "db", Effect: "NoSchedule"}}
	}},
	{what: "`failover.detect`", edit: func(c *components.Cluster) { c.Detect = 12 * time.Second }},
	{what: "`failover.evict`", edit: func(c *components.Cluster) { c.Evict = 10 * time.Second }},
	{what: "`overlay.mtu`", edit: func(c *components.Cluster) { c.Overlay.MTU = 1400 }},
	{what: "`overlay.mode`", edit: func(c *components.Cluster) { c.Overlay.Mode = "kernel" }},
	{what: "`overlay.psk`", edit: func(c *components.Cluster) { c.Overlay.PSK = true }},
	{what: "`api.endpoint`", edit: func(c *components.Cluster) { c.Endpoint = "api.example.org:6443" }},
	{what: "`api.extra_sans`", edit: func(c *components.Cluster) { c.ExtraSANs = []string{"k8s.example.org"} }},
	{what: "`kubelet.max_pods`", edit: func(c *components.Cluster) {
		for i := range c.Machines {
			c.Machines[i].Kubelet = map[string]any{"maxPods": 200}
		}
	}},
	{what: "`kubelet.settings` of one machine", edit: func(c *components.Cluster) {
		specOf(c, "w1").Kubelet = map[string]any{"evictionHard": map[string]any{"memory.available": "500Mi"}}
	}},
	{what: "`proxy.settings`", edit: func(c *components.Cluster) {
		for i := range c.Machines {
			c.Machines[i].Proxy = map[string]any{"conntrack": map[string]any{"maxPerCore": 65536}}
		}
	}},
	{what: "`apiserver.extra_args`", edit: func(c *components.Cluster) {
		c.Flags.APIServer = []components.Flag{{Name: "audit-log-maxage", Value: "10"}}
	}},
	{what: "`controller_manager.extra_args`", edit: func(c *components.Cluster) {
		c.Flags.ControllerManager = []components.Flag{{Name: "v", Value: "4"}}
	}},
	{what: "`scheduler.extra_args`", edit: func(c *components.Cluster) { c.Flags.Scheduler = []components.Flag{{Name: "v", Value: "4"}} }},
	{what: "a `registry` block", edit: func(c *components.Cluster) {
		c.Registries = []components.Registry{{Host: "docker.io", Mirrors: []string{"http://10.0.0.5:5000"}}}
	}},
	{what: "that `registry` block taken out", edit: func(c *components.Cluster) { c.Registries = nil }},
	{what: "`sysctls`", edit: func(c *components.Cluster) {
		for i := range c.Machines {
			c.Machines[i].Sysctls = map[string]string{"net.core.somaxconn": "8192", "net.ipv4.tcp_rmem": "4096 131072 8388608"}
		}
	}},
	{what: "`addons.metrics = false`", edit: func(c *components.Cluster) { c.Addons.Metrics = false }},
	{what: "that line taken out", edit: func(c *components.Cluster) { c.Addons.Metrics = true }},
	{what: "a worker's `address`", edit: func(c *components.Cluster) { specOf(c, "w1").Address = netip.MustParseAddr("192.0.2.99") }},
	{what: "another bundle, of a patch version", edit: func(c *components.Cluster) { c.Version, c.Bundle.ID = "1.36.4", "1.36.4-aaaaaaaaaaaa" }},
}

func on(name string, harm func(m *componentstest.Machine)) func(*testing.T, *componentstest.Site) {
	return func(_ *testing.T, s *componentstest.Site) { harm(s.Machines[name]) }
}

func removed(machine, path string) func(*testing.T, *componentstest.Site) {
	return on(machine, func(m *componentstest.Machine) { m.Remove(path) })
}

func written(machine, path, text string, mode os.FileMode) func(*testing.T, *componentstest.Site) {
	return func(t *testing.T, s *componentstest.Site) {
		if text == "" {
			present, _ := s.Machines[machine].File(path)
			text = string(present)
		}
		if err := s.Machines[machine].WriteFile(t.Context(), path, mode, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func ran(machine string, argv ...string) func(*testing.T, *componentstest.Site) {
	return func(t *testing.T, s *componentstest.Site) {
		if _, err := s.Machines[machine].Run(t.Context(), argv, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func kubectl(path string, change func(object map[string]any)) func(*testing.T, *componentstest.Site) {
	return func(_ *testing.T, s *componentstest.Site) { s.Cluster.Edit(path, change) }
}

const (
	agentsRole = "/apis/rbac.authorization.k8s.io/v1/clusterroles/provision:agents"
	bundleDir  = components.Root + "/1.36.3-0123456789ab"
)

var drifts = []change{
	{what: "a unit file was edited", harm: written("w1", actions.UnitPath("provision-kubelet.service"), "[Service]\nExecStart=/bin/true\n", 0o644)},
	{what: "a unit file was deleted", harm: removed("w1", actions.UnitPath("provision-proxy.service"))},
	{what: "a service was stopped", harm: on("w1", func(m *componentstest.Machine) { m.Stop("provision-kubelet.service") })},
	{what: "an API server was stopped", harm: on("m2", func(m *componentstest.Machine) { m.Stop("provision-apiserver.service") })},
	{what: "a service was disabled", harm: ran("w1", "systemctl", "disable", "provision-containerd.service")},
	{what: "the target is not started at boot any more", harm: removed("w1", components.Units+"/multi-user.target.wants/provision.target")},
	{what: "a configuration was edited", harm: written("w1", components.Etc+"/kubelet.yaml", "maxPods: 500\n", 0o600)},
	{what: "a configuration was deleted", harm: removed("m1", components.Etc+"/scheduler.yaml")},
	{what: "a kubeconfig was edited", harm: written("w1", components.Etc+"/kubelet.kubeconfig", "clusters: []\n", 0o600)},
	{what: "others may read a kubeconfig", harm: written("w1", components.Etc+"/proxy.kubeconfig", "", 0o644)},
	{what: "others may read a key", harm: ran("m1", "chmod", "0644", components.PKI+"/cluster-ca.key")},
	{what: "a certificate is gone", harm: removed("w1", components.PKI+"/kubelet.crt")},
	{what: "a key is gone", harm: removed("m1", components.PKI+"/apiserver.key")},
	{what: "a master's authority is gone", harm: removed("m2", components.PKI+"/cluster-ca.key")},
	{what: "a worker's copy of the authority is gone", harm: removed("w1", components.PKI+"/cluster-ca.crt")},
	{what: "a kernel setting was changed", harm: on("w1", func(m *componentstest.Machine) { m.SetSysctl("net.ipv4.ip_forward", "0") })},
	{what: "the file of kernel settings was deleted", harm: removed("w1", "/etc/sysctl.d/99-zz-provision.conf")},
	{what: "the list of modules was deleted", harm: removed("w1", "/etc/modules-load.d/provision.conf")},
	{what: "what keeps networkd away was deleted", harm: removed("w1", "/etc/systemd/network/05-provision.network")},
	{what: "a program of the bundle was changed", harm: written("w1", bundleDir+"/bin/node", "something else", 0o755)},
	{what: "a program of the bundle was deleted", harm: removed("w1", bundleDir+"/bin/containerd")},
	{what: "the agent was deleted", harm: on("w1", func(m *componentstest.Machine) { m.Remove(agentOf(componentstest.Cluster())) })},
	{what: "a registry's file was put there by hand", harm: written("w1", components.Etc+"/registries/ghcr.io/hosts.toml", "server = \"https://example.org\"\n", 0o644)},
	{what: "a label was removed", harm: kubectl("/api/v1/nodes/w2", func(node map[string]any) {
		delete(node["metadata"].(map[string]any)["labels"].(map[string]any), "disk")
	})},
	{what: "a taint was removed", harm: kubectl("/api/v1/nodes/m1", func(node map[string]any) { node["spec"] = map[string]any{} })},
	{what: "a Node was deleted", harm: kubectl("/api/v1/nodes/w1", nil)},
	{what: "a ClusterRole was edited", harm: kubectl(agentsRole, func(role map[string]any) {
		role["rules"] = []any{map[string]any{"apiGroups": []any{"*"}, "resources": []any{"*"}, "verbs": []any{"*"}}}
	})},
	{what: "a ClusterRole was deleted", harm: kubectl(agentsRole, nil)},
	{what: "CoreDNS's configuration was edited", harm: kubectl("/api/v1/namespaces/kube-system/configmaps/coredns", func(m map[string]any) {
		m["data"] = map[string]any{"Corefile": ".:53 {}"}
	})},
	{what: "CoreDNS's Deployment was deleted", harm: kubectl("/apis/apps/v1/namespaces/kube-system/deployments/coredns", nil)},
	{what: "metrics-server has no replicas", harm: kubectl("/apis/apps/v1/namespaces/kube-system/deployments/metrics-server", func(d map[string]any) {
		d["spec"].(map[string]any)["replicas"] = 0
	})},
	{what: "metrics-server's APIService was deleted", harm: kubectl("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io", nil)},
	{what: "another StorageClass is the default", harm: kubectl("/apis/storage.k8s.io/v1/storageclasses/local-path", func(c map[string]any) {
		c["metadata"].(map[string]any)["annotations"] = map[string]any{"storageclass.kubernetes.io/is-default-class": "false"}
	})},
	{what: "local-path storage's configuration was deleted", harm: kubectl("/api/v1/namespaces/local-path-storage/configmaps/local-path-config", nil)},
	{what: "the inventory was deleted", harm: kubectl("/api/v1/namespaces/kube-system/configmaps/provision-inventory", nil)},
}

func agentOf(c components.Cluster) string { return c.Agent() }

// wantedSite is three masters and three workers that are as their file says.
func wantedSite(t *testing.T) (components.Cluster, *componentstest.Site) {
	t.Helper()
	c := componentstest.Cluster("m1", "m2", "m3", "w1", "w2", "w3")
	c.MaxUnavailable = components.Amount{Percent: 50}
	specOf(&c, "w2").Labels = map[string]string{"disk": "hdd"}
	s := site(c)
	s.Machines["w1"].Born.Addresses = append(s.Machines["w1"].Born.Addresses, netip.MustParsePrefix("192.0.2.99/24"))
	must(t, c, s)
	return c, s
}

// lines are a plan's, machines to which the same is done together; waits change nothing.
func lines(p Plan) []string {
	var order []string
	machines := map[string][]string{}
	for machine, action := range p.all() {
		switch action.(type) {
		case addons.WaitReady, actions.WaitAPI:
			continue
		}
		text := action.Component() + ": " + action.String()
		if node, is := strings.CutPrefix(text, "node: set node "+machine+":"); is {
			text = "node: set its" + node
		}
		if !slices.Contains(order, text) {
			order = append(order, text)
		}
		machines[text] = append(machines[text], machine)
	}
	for i, text := range order {
		order[i] = strings.Join(machines[text], " ") + " " + text
	}
	return order
}

// restartedBy are the units that a run restarted, as the machines saw it.
func restartedBy(s *componentstest.Site, before map[string]int) []string {
	var all []string
	units := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Machines)) {
		for _, effect := range s.Machines[name].Log()[before[name]:] {
			argv := strings.Fields(effect)
			if len(argv) < 3 || argv[1] != "systemctl" || argv[2] != "restart" {
				continue
			}
			for _, unit := range argv[3:] {
				unit, is := strings.CutSuffix(unit, ".service")
				if !is {
					continue
				}
				unit = strings.TrimPrefix(unit, "provision-")
				if units[unit] == nil {
					all = append(all, unit)
				}
				if !slices.Contains(units[unit], name) {
					units[unit] = append(units[unit], name)
				}
			}
		}
	}
	slices.Sort(all)
	for i, unit := range all {
		all[i] = unit + " on " + strings.Join(units[unit], " ")
	}
	return all
}

// planned is what Restarts says of a plan, in the same words.
func planned(p Plan) []string {
	units := map[string][]string{}
	for _, r := range p.Restarts() {
		for _, unit := range r.Units {
			units[unit] = append(units[unit], slices.Concat(r.Batches...)...)
		}
	}
	var all []string
	for unit, machines := range units {
		slices.Sort(machines)
		all = append(all, unit+" on "+strings.Join(slices.Compact(machines), " "))
	}
	slices.Sort(all)
	return all
}

// TestChanges: whatever is edited in the file, and whatever drifts, is found by the plan
// and repaired by one run, which restarts what the plan named; then there is nothing
// to do. docs/changes.md is its result; go test -update writes it anew.
func TestChanges(t *testing.T) { synctest.Test(t, testChanges) } // what waits need not be waited for

func testChanges(t *testing.T) {
	var table strings.Builder
	row := func(t *testing.T, of change, c components.Cluster, s *componentstest.Site) {
		t.Helper()
		before := map[string]int{}
		for name, m := range s.Machines {
			before[name] = len(m.Log())
		}
		p := Make(c, look(s), time.Now())
		if p.Empty() {
			t.Fatalf("%s: the plan is empty", of.what)
		}
		must(t, c, s)
		restarted := restartedBy(s, before)
		if diff := cmp.Diff(planned(p), restarted); diff != "" {
			t.Errorf("%s: what restarts, -planned +seen:\n%s", of.what, diff)
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", of.what, "`"+strings.Join(lines(p), "`<br>`")+"`", strings.Join(restarted, "<br>"))
	}
	table.WriteString(beforeEdits)
	c, s := wantedSite(t)
	for _, edit := range edits {
		if edit.what == "another bundle, of a patch version" || edit.what == "`overlay.mode`" {
			c, s = wantedSite(t)
			for _, m := range s.Machines {
				m.Loadable["wireguard"] = edit.what == "`overlay.mode`"
			}
			if edit.what == "`overlay.mode`" {
				c.Overlay.Mode = "userspace"
				must(t, c, s)
			}
		}
		edit.edit(&c)
		row(t, edit, c, s)
	}
	table.WriteString(beforeDrifts)
	c, s = wantedSite(t)
	for _, drift := range drifts {
		drift.harm(t, s)
		row(t, drift, c, s)
	}
	table.WriteString(afterDrifts)
	const name = "../../docs/changes.md"
	if *update {
		if err := os.WriteFile(name, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), table.String()); diff != "" {
		t.Errorf("docs/changes.md, -there +now (go test -update writes it):\n%s", diff)
	}
}

const beforeEdits = `# What a change does

Edit the file, and run ` + "`provision plan`" + `: it names every change, and counts and names every restart. ` + "`provision up`" + ` does it. This page is made by a test
(` + "`provisioner/plan`" + `, TestChanges) on three masters m1 to m3 and three workers w1 to w3 in memory, with ` + "`max_unavailable = \"50%\"`" + `: each line was planned, carried out, and followed
by an empty plan. A restart of kubelet or containerd leaves pods running. Masters restart one after the other.

| edited in the file | the plan | what restarted |
| --- | --- | --- |
`

const beforeDrifts = `
What is refused, with the reason, before anything is touched: other ranges of pods or Services, another node mask or domain; a master's address; a worker's role for a master; an earlier minor version, or one that skips another.

## Drift

What somebody changed on a machine or in the API behind the file's back is found by ` + "`provision plan`" + ` and repaired by ` + "`provision up`" + `.

| what happened | the plan | what restarted |
| --- | --- | --- |
`

const afterDrifts = `
The overlay's links, addresses, routes and rules are its agent's: it puts them back within seconds, without a run.

What is yours stays: labels, taints and annotations that the file does not name, more keys in objects of ours, objects of ` + "`addon`" + ` blocks (controllers change them, and a chart with a random password is never the same), drop-ins for units (` + "`systemctl edit`" + `), kernel settings and files that are not ours. Not found is a program of the bundle
that was changed with its size, mode and time kept; and a secret that others could read is closed again, which does not make it one again.
`
