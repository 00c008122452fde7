package etcd_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"provision/components"
	"provision/components/actions"
	"provision/components/componentstest"
	"provision/components/etcd"
)

// config returns a member's etcd.yaml as a plan would write it.
func config(t *testing.T, c components.Cluster, m components.MachineSpec) map[string]any {
	t.Helper()
	for _, action := range etcd.Actions(c, m, components.Facts{}, etcd.Serve) {
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

// TestAMasterMoreChangesNobodyElse: what a member reads at its start does not name the others.
func TestAMasterMoreChangesNobodyElse(t *testing.T) {
	c := componentstest.Cluster("m1")
	before := etcd.Actions(c, c.Machines[0], components.Facts{}, etcd.Serve)
	c = componentstest.Cluster("m1", "m2")
	after := etcd.Actions(c, c.Machines[0], components.Facts{}, etcd.Serve)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("m1 would be restarted: %s", diff)
	}
}

func TestBothSidesShowCertificates(t *testing.T) {
	c := componentstest.Cluster("m1")
	got := config(t, c, c.Machines[0])
	for _, side := range []string{"client-transport-security", "peer-transport-security"} {
		if security := got[side].(map[string]any); security["client-cert-auth"] != true || security["trusted-ca-file"] != "/etc/provision/pki/etcd-ca-trust.pem" {
			t.Errorf("%s: %v", side, security)
		}
	}
}

func TestWorkersHaveNone(t *testing.T) {
	c := componentstest.Cluster("m1", "w1")
	if got := etcd.Actions(c, c.Machines[1], components.Facts{}, etcd.Serve); len(got) > 0 {
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
