package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"provision/components"
)

// sound is a cluster of a master and a worker, and facts that nothing is wrong with.
func sound() (components.Cluster, Facts) {
	c := components.Cluster{Version: "1.36.3",
		Network: components.Network{Pods: netip.MustParsePrefix("10.244.0.0/16"), Services: netip.MustParsePrefix("10.96.0.0/16")},
		Overlay: components.Overlay{Mode: "auto", Port: components.PortWireGuard},
		Bundle:  components.Bundle{Arch: "amd64", Files: map[string]string{"bin/agent": "0123456789abcdef"}}}
	found := Facts{Machines: map[string]components.Facts{}, Cluster: components.ClusterFacts{Nodes: map[string]components.NodeFact{}}}
	for i, name := range []string{"m1", "w1"} {
		address := netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)})
		role := []components.Role{components.Master, components.Worker}[i]
		c.Machines = append(c.Machines, components.MachineSpec{Name: name, Role: role, Address: address})
		found.Machines[name] = components.Facts{
			Hostname: name, MachineID: name, OS: components.OS{ID: "debian", VersionID: "12"}, Arch: "amd64", Kernel: "6.1.0",
			Systemd: 252, Memory: 4 << 30, DiskFree: 20 << 30, Addresses: []netip.Prefix{netip.PrefixFrom(address, 24)},
		}
	}
	return c, found
}

func with(f components.Facts, files ...string) components.Facts {
	f.Files = map[string]components.FileFact{}
	for _, name := range files {
		f.Files[name] = components.FileFact{Mode: 0o644}
	}
	return f
}

// nodeOf says that a machine runs that version of Kubernetes.
func nodeOf(found Facts, name, version string) {
	found.Cluster.Nodes[name] = components.NodeFact{Version: version}
	f := found.Machines[name]
	f.Bundles = []string{"1.0.0-0123456789ab"}
	found.Machines[name] = f
}

func TestPreflight(t *testing.T) {
	const authority = components.PKI + "/cluster-ca.crt"
	for _, test := range []struct {
		name  string
		spoil func(c *components.Cluster, found Facts)
		want  []string // each problem begins with the machine and holds the words
	}{
		{"sound", func(*components.Cluster, Facts) {}, nil},
		{"the old cluster's worker below a new master", func(_ *components.Cluster, found Facts) {
			found.Machines["w1"] = with(found.Machines["w1"], authority)
		}, []string{"w1: belongs to a cluster whose secrets are not on m1"}},
		{"an earlier minor version", func(_ *components.Cluster, found Facts) { nodeOf(found, "m1", "v1.37.0") }, []string{"m1: runs Kubernetes v1.37.0, and the bundle is of 1.36.3: there is no way back"}},
		{"the next minor version, and a later patch", func(_ *components.Cluster, found Facts) {
			nodeOf(found, "m1", "v1.35.9")
			nodeOf(found, "w1", "v1.36.9")
		}, nil},
		{"a minor version is skipped", func(_ *components.Cluster, found Facts) { nodeOf(found, "w1", "v1.34.1") }, []string{"w1: runs Kubernetes v1.34.1, and the bundle is of 1.36.3: Kubernetes is upgraded by one minor version at a time; use a bundle of 1.35 first"}},
		{"a blank machine with a Node of long ago", func(_ *components.Cluster, found Facts) {
			nodeOf(found, "w1", "v1.30.0")
			f := found.Machines["w1"]
			f.Bundles = nil
			found.Machines["w1"] = f
		}, nil},
		{"a cluster of ours", func(_ *components.Cluster, found Facts) {
			found.Machines["m1"] = with(found.Machines["m1"], authority)
			found.Machines["w1"] = with(found.Machines["w1"], authority)
		}, nil},
		{"a first run that was cut off", func(_ *components.Cluster, found Facts) {
			found.Machines["m1"] = with(found.Machines["m1"], authority)
		}, nil},
		{"machines of another cluster", func(_ *components.Cluster, found Facts) {
			for name, cluster := range map[string]string{"m1": "site", "w1": "other"} {
				f := found.Machines[name]
				f.Cluster = cluster
				found.Machines[name] = f
			}
		}, []string{`w1: belongs to the cluster "other", and the file is of "site"`}},
		{"an older bundle", func(c *components.Cluster, found Facts) { c.Version = "1.35.4" },
			[]string{"m1: runs Kubernetes v1.36.3, and the bundle is of 1.35.4"}},
		{"a later bundle", func(c *components.Cluster, found Facts) { c.Version = "1.37.0" }, nil},
		{"an earlier patch", func(c *components.Cluster, found Facts) { c.Version = "1.36.1" }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, found := sound()
			c.Name = "site"
			found.Cluster.Nodes = map[string]components.NodeFact{"m1": {Version: "v1.36.3"}}
			test.spoil(&c, found)
			problems := Preflight(c, found)
			if !slices.EqualFunc(problems, test.want, func(p Problem, want string) bool { return strings.HasPrefix(p.Error(), want) }) {
				t.Errorf("got %v, want %q", problems, test.want)
			}
		})
	}
}

func TestDownNeedsALockAlsoWhereTheMasterIsBare(t *testing.T) {
	c, found := sound()
	if p := Down(c, found, nil); !p.Empty() {
		t.Errorf("nothing is there, and the plan is %v", p)
	}
	w1 := found.Machines["w1"]
	w1.Bundles = []string{"1.36.3-0123456789ab"}
	w1.Agents = map[string]bool{c.Agent(): true}
	found.Machines["w1"] = w1
	p := Down(c, found, nil)
	if got := strings.Join(p.Machines(), " "); len(p.Phases) != 2 || p.Phases[0].Stages[0].Jobs[0].Machine != "m1" || got != "m1 w1" {
		t.Errorf("the plan is %v", p)
	}
}
