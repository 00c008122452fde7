package firewall

import (
	"strings"
	"testing"
)

func TestTheRemedyIsForTheToolThatMadeTheWall(t *testing.T) {
	for _, test := range []struct {
		wall Wall
		want string
	}{
		{Wall{Family: "inet", Table: "wiki", Chain: "fwd", Way: Between}, "nft insert rule inet wiki fwd iifname bridge0 accept; nft insert rule inet wiki fwd oifname bridge0 accept"},
		{Wall{Family: "inet", Table: "wiki", Way: Received}, "nft insert rule inet wiki input iifname bridge0 accept"},
		{Wall{Family: "inet", Table: "filter", Chain: "out", Way: FromMachine}, "nft insert rule inet filter out oifname { bridge0, wg0 } accept"},
		{Wall{Family: "ip", Table: "filter", Chain: "INPUT", Way: ToAPI}, "iptables -I INPUT -i bridge0 -j ACCEPT"},
		{Wall{Family: "ip6", Table: "filter", Chain: "FORWARD", Way: Between}, "ip6tables -I FORWARD -i bridge0 -j ACCEPT; ip6tables -I FORWARD -o bridge0 -j ACCEPT"},
		{Wall{Family: "legacy", Table: "filter", Way: Forwarded}, "iptables -I FORWARD -i bridge0 -j ACCEPT; iptables -I FORWARD -o bridge0 -j ACCEPT"},
		{Wall{Family: "ip", Table: "filter", Chain: "INPUT", Way: Answers, UFW: true}, "ufw allow in on bridge0"},
		{Wall{Family: "ip", Table: "filter", Chain: "FORWARD", Way: Between, UFW: true}, "ufw route allow in on bridge0; ufw route allow out on bridge0"},
		{Wall{Family: "inet", Table: "firewalld", Chain: "filter_INPUT", Way: ToMachine}, "firewall-cmd --permanent --zone=trusted --add-interface=bridge0; firewall-cmd --permanent --zone=trusted --add-interface=wg0; firewall-cmd --reload"},
	} {
		if got := test.wall.Remedy(); got != test.want || !test.wall.Valid() {
			t.Errorf("%+v: valid %v, got %q, want %q", test.wall, test.wall.Valid(), got, test.want)
		}
	}
}

// Somebody pastes the remedy into a root shell.
func TestAHostileNameIsNotShown(t *testing.T) {
	good := Wall{Family: "inet", Table: "filter", Chain: "input", Way: ToAPI}
	for name, spoil := range map[string]func(*Wall){
		"a command":       func(w *Wall) { w.Chain = "input; reboot" },
		"a line":          func(w *Wall) { w.Table = "filter\nreboot" },
		"escapes":         func(w *Wall) { w.Table = "\x1b[2J" },
		"a long one":      func(w *Wall) { w.Table = strings.Repeat("x", 65) },
		"no table":        func(w *Wall) { w.Table = "" },
		"another family":  func(w *Wall) { w.Family = "$(reboot)" },
		"an unknown way":  func(w *Wall) { w.Way = "elsewhere" },
		"a way with none": func(w *Wall) { w.Way = "" },
	} {
		wall := good
		if spoil(&wall); wall.Valid() {
			t.Errorf("%s: %+v is valid", name, wall)
		}
	}
	if !good.Valid() {
		t.Error("a plain one is not valid")
	}
}

func TestEveryWayHasItsWords(t *testing.T) {
	for way := range words {
		for _, family := range []string{"ip", "inet", "legacy"} {
			for _, ufw := range []bool{false, true} {
				w := Wall{Family: family, Table: "filter", Way: way, UFW: ufw}
				if w.Hook() == "" || w.Remedy() == "" || w.Drops() == "" {
					t.Errorf("%+v: hook %q, remedy %q", w, w.Hook(), w.Remedy())
				}
			}
		}
	}
}
