//go:build lab

package rules

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/overlay/firewall"
)

func strangers(t *testing.T) []firewall.Wall {
	t.Helper()
	walls, err := Strangers([]netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range walls {
		if !w.Valid() || w.Remedy() == "" {
			t.Errorf("%+v is not to be shown", w)
		}
	}
	return walls
}

// said is what a wall is called, shortly.
func said(walls []firewall.Wall) []string {
	var all []string
	for _, w := range walls {
		all = append(all, w.Place()+": "+string(w.Way))
	}
	slices.Sort(all)
	return all
}

// TestStrangers loads what firewalls write and asks which chain closes what.
func TestStrangers(t *testing.T) {
	base := func(hook, policy, rules string) string {
		return "table inet fire { chain wall { type filter hook " + hook + " priority 0; policy " + policy + "; " + rules + " } }"
	}
	for _, test := range []struct {
		name, ruleset string
		want          []string
	}{
		{"nothing", "", nil},
		{"a policy", base("forward", "drop", ""), []string{"chain wall of table inet fire: pod-pod"}},
		{"a last rule", base("forward", "accept", "ct state established,related accept; tcp dport { 22, 80 } accept; reject with icmpx admin-prohibited"),
			[]string{"chain wall of table inet fire: pod-pod"}},
		{"a last rule of a chain that is jumped to", "table inet fire { chain end { counter drop; }; chain wall { type filter hook input priority 0; ct state established accept; meta l4proto tcp jump end; } }",
			[]string{"chain wall of table inet fire: pod-api"}},
		{"no answers", base("input", "drop", "iifname bridge0 ct state new accept"), []string{"chain wall of table inet fire: pod-answers"}},
		{"the API alone", base("input", "drop", "ct state established accept; ct status dnat accept"), []string{"chain wall of table inet fire: pod-machine"}},
		{"what the machine sends", base("output", "drop", "ct state established accept; ip daddr 10.0.0.0/24 accept"), []string{"chain wall of table inet fire: machine-pod"}},
		{"drops without a condition that hits", base("forward", "accept", "ct state invalid drop; ip saddr 192.168.0.0/16 drop; iifname eth0 drop; udp dport 53 reject; tcp dport 1-1024 drop"), nil},
		{"what is not understood", base("forward", "drop", "limit rate 100/second accept"), nil},
		{"somebody's list", "table inet fire { set good { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }; chain wall { type filter hook forward priority 0; policy drop; ip saddr @good accept; } }", nil},
		{"the pods' range", base("forward", "drop", "ip saddr { 10.0.0.0/8, 192.168.0.0/16 } ip daddr 10.244.0.0/16 accept"), nil},
		{"links by a wildcard", base("forward", "drop", `iifname { "bridge0", "wg0" } accept`), nil},
		{"a map", base("forward", "drop", `iifname vmap { "eth0" : drop, "bridge0" : accept, "wg0" : accept }`), nil},
		{"a map without us", base("forward", "accept", `iifname vmap { "eth0" : accept }; drop`), []string{"chain wall of table inet fire: pod-pod"}},
		{"a negation", base("forward", "accept", `iifname != { "eth0", "eth1" } drop`), []string{"chain wall of table inet fire: pod-pod"}},
		{"IPv6", "table ip6 fire { chain wall { type filter hook forward priority 0; policy drop; } }", nil},
		{"Services' own", "table ip kube-proxy { chain wall { type filter hook forward priority 0; policy drop; } }", nil},
		{"docker's", "table ip filter { chain DOCKER-USER { }; chain FORWARD { type filter hook forward priority 0; policy drop; jump DOCKER-USER; } }", nil},
		{"docker's, asked too late", "table ip filter { chain DOCKER-USER { }; chain FORWARD { type filter hook forward priority 0; policy drop; drop; jump DOCKER-USER; } }",
			[]string{"chain FORWARD of table ip filter: pod-pod"}},
		{"firewalld", "include \"./testdata/firewalld.nft\"", []string{"chain filter_FORWARD of table inet firewalld: pod-pod", "chain filter_INPUT of table inet firewalld: pod-machine"}},
		{"firewalld, told", "include \"./testdata/firewalld-open.nft\"", nil},
		{"ufw", "include \"./testdata/ufw.nft\"", []string{"chain FORWARD of table ip filter: pod-pod", "chain INPUT of table ip filter: pod-api"}},
		{"ufw, told", "include \"./testdata/ufw-open.nft\"", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inNamespace(t)
			load(t, test.ruleset)
			if d := cmp.Diff(test.want, said(strangers(t))); d != "" {
				t.Errorf("want -, got +:\n%s", d)
			}
		})
	}
}

func load(t *testing.T, ruleset string) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	if inner, ok := strings.CutSuffix(ruleset, " } }"); ok {
		ruleset = inner + "\n}\n}"
	}
	cmd.Stdin = strings.NewReader(ruleset + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestARemedyHelps types what the sentence says until there is no wall left.
func TestARemedyHelps(t *testing.T) {
	const policies = `table inet filter {
		chain input { type filter hook input priority 0; policy drop; ct state established accept; tcp dport 22 accept; }
		chain forward { type filter hook forward priority 0; policy accept; reject; }
		chain output { type filter hook output priority 0; policy drop; ct state established accept; ip daddr 10.0.0.0/24 accept; }
	}`
	for _, test := range []struct{ name, made, tool string }{
		{"nftables", policies, "nft"},
		{"iptables", strings.NewReplacer("inet filter", "ip filter", "chain input", "chain INPUT", "chain forward", "chain FORWARD", "chain output", "chain OUTPUT").Replace(policies), "iptables-nft"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := exec.LookPath(test.tool); err != nil {
				t.Fatal("needs " + test.tool)
			}
			inNamespace(t)
			load(t, test.made)
			walls := strangers(t)
			if len(walls) != 3 {
				t.Errorf("found %q", said(walls))
			}
			for _, w := range walls {
				if out, err := exec.Command("sh", "-c", w.Remedy()).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v\n%s", w.Remedy(), err, out)
				}
			}
			if left := strangers(t); len(left) > 0 {
				t.Errorf("after that: %q", said(left))
			}
		})
	}
}

// TestStrangersReadIptables has iptables itself write the rules, with the
// conditions that it leaves to modules of its own.
func TestStrangersReadIptables(t *testing.T) {
	if _, err := exec.LookPath("iptables-nft"); err != nil {
		t.Fatal("needs iptables-nft")
	}
	inNamespace(t)
	iptables := func(rules string) {
		t.Helper()
		for line := range strings.Lines(rules) {
			if out, err := exec.Command("iptables-nft", strings.Fields(line)...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
		}
	}
	// As RHEL's iptables-services come, with more of what people add.
	iptables(`-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
		-A INPUT -p icmp -j ACCEPT
		-A INPUT -i lo -j ACCEPT
		-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT
		-A INPUT -p tcp -m multiport --dports 80,443 -m comment --comment web -j ACCEPT
		-A INPUT -m addrtype --dst-type BROADCAST -j DROP
		-A INPUT -j REJECT --reject-with icmp-host-prohibited
		-A FORWARD -p udp --dport 53 -j ACCEPT
		-A FORWARD -j REJECT --reject-with icmp-host-prohibited`)
	want := []string{"chain FORWARD of table ip filter: pod-pod", "chain INPUT of table ip filter: pod-api"}
	if d := cmp.Diff(want, said(strangers(t))); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	iptables(`-I INPUT -i bridge0 -m comment --comment pods -j ACCEPT
		-I FORWARD -m conntrack --ctstate NEW -s 10.244.0.0/16 -m comment --comment pods -j ACCEPT`)
	if left := said(strangers(t)); len(left) > 0 {
		t.Errorf("after that: %q", left)
	}
}
