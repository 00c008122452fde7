package plan

import (
	"strings"
	"testing"

	"provision/components"
)

func TestFirewallsAreNamedWithWhatToType(t *testing.T) {
	for _, test := range []struct {
		name string
		wall components.Firewall
		want string // in the sentence; "" for none
	}{
		{"nftables' own", components.Firewall{Hook: "forward", Family: "inet", Table: "filter", Accepts: []string{"chain forward {", "tcp dport 22 accept"}},
			"nft insert rule inet filter forward iifname bridge0 accept; nft insert rule inet filter forward oifname bridge0 accept"},
		{"what pods send to the machine", components.Firewall{Hook: "input", Family: "inet", Table: "filter"},
			"drops what pods send to the machine; let them pass: nft insert rule inet filter input iifname bridge0 accept"},
		{"ufw", components.Firewall{Hook: "forward", Family: "ip", Table: "filter", Accepts: []string{"chain ufw-before-forward {"}}, "ufw route allow in on bridge0"},
		{"ufw's input", components.Firewall{Hook: "input", Family: "ip", Table: "filter", Accepts: []string{"chain ufw-user-input {"}}, "ufw allow in on bridge0"},
		{"iptables", components.Firewall{Hook: "forward", Family: "ip", Table: "filter"}, "iptables -I FORWARD -o bridge0 -j ACCEPT"},
		{"docker with iptables-legacy", components.Firewall{Hook: "forward", Family: "legacy", Table: "filter", Accepts: []string{"-A FORWARD -i docker0 -j ACCEPT"}}, "iptables -I FORWARD"},
		{"docker", components.Firewall{Hook: "forward", Family: "ip", Table: "filter", Accepts: []string{"chain DOCKER-USER {"}}, ""},
		{"the other hook's rule", components.Firewall{Hook: "forward", Family: "inet", Table: "filter", Accepts: []string{"chain input {", `iifname "bridge0" accept`, "chain forward {"}},
			"nft insert rule inet filter forward"},
		{"iptables-legacy's other chain", components.Firewall{Hook: "input", Family: "legacy", Table: "filter", Accepts: []string{"-A FORWARD -i bridge0 -j ACCEPT"}}, "iptables -I INPUT"},
		{"the bridge is named", components.Firewall{Hook: "forward", Family: "inet", Table: "filter", Accepts: []string{`iifname "bridge0" accept`}}, ""},
		{"the pods are named", components.Firewall{Hook: "input", Family: "inet", Table: "filter", Accepts: []string{"ip saddr 10.244.0.0/16 accept"}}, ""},
		{"everything passes", components.Firewall{Hook: "input", Family: "inet", Table: "filter", Accepts: []string{"counter packets 3 bytes 180 accept"}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, found := sound()
			m1 := found.Machines["m1"]
			m1.Firewalls = []components.Firewall{test.wall}
			found.Machines["m1"] = m1
			problems := Preflight(c, found)
			switch {
			case test.want == "" && len(problems) > 0:
				t.Errorf("got %v", problems)
			case test.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want)):
				t.Errorf("got %v, want %q", problems, test.want)
			}
		})
	}
}
