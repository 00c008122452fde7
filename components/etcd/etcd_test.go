package etcd_test

import (
	"net/netip"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// config returns a member's etcd.yaml as a plan would write it.
func config(t *testing.T, c components.Cluster, m components.MachineSpec) map[string]any {
	t.Helper()
	for _, action := range etcd.Actions(c, m, components.Facts{}) {
		if file, ok := action.(actions.File); ok && strings.HasSuffix(file.Path, "etcd.yaml") {
			var config map[string]any
			if err := yaml.UnmarshalStrict(file.Content, &config); err != nil {
				t.Fatal(err)
			}
			return config
		}
	}
	t.Fatal("no etcd.yaml")
	return nil
}

func TestMembersJoinOneByOne(t *testing.T) {
	c := componentstest.Cluster("m1", "w1", "m2", "m3")
	for name, want := range map[string][2]string{
		"m1": {"new", "m1=https://192.0.2.1:2380"},
		"m2": {"existing", "m1=https://192.0.2.1:2380,m2=https://192.0.2.3:2380"},
		"m3": {"existing", "m1=https://192.0.2.1:2380,m2=https://192.0.2.3:2380,m3=https://192.0.2.4:2380"},
	} {
		for _, m := range c.Machines {
			if m.Name != name {
				continue
			}
			got := config(t, c, m)
			if got["initial-cluster-state"] != want[0] || got["initial-cluster"] != want[1] {
				t.Errorf("%s: %v %v", name, got["initial-cluster-state"], got["initial-cluster"])
			}
		}
	}
}

func TestAMasterMoreChangesNobodyElse(t *testing.T) {
	c := componentstest.Cluster("m1")
	before := config(t, c, c.Machines[0])
	c = componentstest.Cluster("m1", "m2")
	after := config(t, c, c.Machines[0])
	if before["initial-cluster"] != after["initial-cluster"] {
		t.Errorf("m1 would be restarted: %v, then %v", before, after)
	}
}

func TestBothSidesShowCertificates(t *testing.T) {
	c := componentstest.Cluster("m1")
	got := config(t, c, c.Machines[0])
	for _, side := range []string{"client-transport-security", "peer-transport-security"} {
		if security := got[side].(map[string]any); security["client-cert-auth"] != true || security["trusted-ca-file"] != "/etc/provision/pki/etcd-ca.crt" {
			t.Errorf("%s: %v", side, security)
		}
	}
}

func TestWorkersHaveNone(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	if got := etcd.Actions(c, c.Machines[1], components.Facts{}); len(got) > 0 {
		t.Errorf("%v", got)
	}
}

func TestIPv6(t *testing.T) {
	c := componentstest.Cluster("m1")
	c.Machines[0].Address = netip.MustParseAddr("2001:db8::1")
	if got := config(t, c, c.Machines[0])["listen-peer-urls"]; got != "https://[2001:db8::1]:2380" {
		t.Error(got)
	}
}
