package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"provision/components/removal"
)

// nftOf finds the machine's nft: ours, which came with the bundle, or its own.
// It also tries the undoing, so that no machine is cut off that cannot do it.
func nftOf(ctx context.Context, m Machine) (string, error) {
	out, err := m.Run(ctx, []string{"sh", "-c", `
for nft in /opt/provision/*/nft/nft "$(command -v nft)"; do
	[ -x "$nft" ] || continue
	"$nft" add table inet ` + removal.DrillTable + ` && "$nft" delete table inet ` + removal.DrillTable + ` && echo "$nft" && exit 0
done
exit 1`}, nil)
	if err != nil {
		return "", fmt.Errorf("%s: no nft there works, by which it could be cut off: %w", m.Name, err)
	}
	nft := strings.TrimSpace(string(out))
	if strings.ContainsAny(nft, " \t\n'\"$%;&|<>()\\") {
		return "", fmt.Errorf("%s: an nft at %.80q", m.Name, nft)
	}
	return nft, nil
}

// cutOff makes a machine fall silent: no packet leaves it or is taken in, but on
// loopback, between its own pods, and to and from those whom it keeps. The
// tunnel's own packets are within others', which fall away. ssh are the ports at
// which we still reach it; without any it does not answer us either.
func cutOff(m Machine, nft string, keeps []Machine, ssh []int) fault {
	table := removal.DrillTable
	var in, out []string
	for _, link := range []string{"lo", "bridge0", "wg0"} {
		in, out = append(in, `iifname "`+link+`" accept`), append(out, `oifname "`+link+`" accept`)
	}
	for _, peer := range keeps {
		for _, address := range []netip.Addr{peer.Address, peer.Address6} {
			if !address.IsValid() {
				continue
			}
			family := "ip"
			if address.Is6() {
				family = "ip6"
			}
			in, out = append(in, family+" saddr "+address.String()+" accept"), append(out, family+" daddr "+address.String()+" accept")
		}
	}
	for _, port := range ssh {
		in, out = append(in, "tcp dport "+strconv.Itoa(port)+" accept"), append(out, "tcp sport "+strconv.Itoa(port)+" accept")
	}
	neighbours := "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept" // IPv6's ARP
	in, out = append(in, neighbours, "drop"), append(out, neighbours, "drop")
	// Postrouting sees what the machine sends and what it forwards for its pods.
	rules := "table inet " + table + " { " +
		"chain in { type filter hook prerouting priority -450; " + strings.Join(in, "; ") + "; }; " +
		"chain out { type filter hook postrouting priority -450; " + strings.Join(out, "; ") + "; }; }"
	return fault{
		machine: m,
		harm:    nft + ` "` + strings.ReplaceAll(rules, `"`, `\"`) + `"`,
		undo:    fmt.Sprintf("while %[1]s list table inet %[2]s >/dev/null 2>&1; do %[1]s delete table inet %[2]s || sleep 1; done", nft, table),
		mute:    len(ssh) == 0,
	}
}

// killed has processes killed, whose units start them again, or the switch does.
func killed(m Machine, units ...string) fault {
	var names []string
	for _, unit := range units {
		names = append(names, "provision-"+unit+".service")
	}
	all := strings.Join(names, " ")
	return fault{
		machine: m,
		harm:    "systemctl kill --signal=KILL --kill-who=main " + all,
		undo:    "systemctl start " + all,
	}
}

// sshPorts are those at which a machine may hear us: the one that we dial, which
// somebody may translate, and the usual one.
func sshPorts(m Machine) []int {
	ports := []int{22}
	if m.SSHPort != 0 && !slices.Contains(ports, m.SSHPort) {
		ports = append(ports, m.SSHPort)
	}
	return ports
}
