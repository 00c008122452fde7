package facts

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func TestFirewallsAreReadWithTheirRules(t *testing.T) {
	got, _, err := parse([]byte(`firewall input inet filter
firewall forward inet filter
firewall forward ip filter
firewall-rule inet filter tcp dport 22 accept
firewall-rule ip filter chain DOCKER-USER {
firewall-rule inet other accept
end
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []components.Firewall{
		{Hook: "input", Family: "inet", Table: "filter", Accepts: []string{"tcp dport 22 accept"}},
		{Hook: "forward", Family: "inet", Table: "filter", Accepts: []string{"tcp dport 22 accept"}},
		{Hook: "forward", Family: "ip", Table: "filter", Accepts: []string{"chain DOCKER-USER {"}},
	}
	if diff := cmp.Diff(want, got.Firewalls); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	for _, broken := range []string{"firewall output inet filter\nend\n", "firewall input inet\nend\n", "firewall input inet x; rm -rf /\nend\n", "firewall input arp filter\nend\n", "firewall-rule inet\nend\n"} {
		if _, _, err := parse([]byte(broken)); err == nil {
			t.Errorf("%q was read", broken)
		}
	}
}
