package agent

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// maxNamed is how many pods are named.
const maxNamed = 4

// formerPods finds pods that were made when this machine had another subnet: a
// Node that was deleted and made again may get another one, and a kubelet lets
// pods run on that it finds under their names. Which addresses are in use says the
// folder of host-local.
func formerPods(leases string, subnets []netip.Prefix) []string {
	files, err := os.ReadDir(leases)
	if err != nil || len(subnets) == 0 {
		return nil // no pod yet
	}
	var lost []netip.Addr
	for _, f := range files {
		a, err := netip.ParseAddr(f.Name())
		if err == nil && !slices.ContainsFunc(subnets, func(s netip.Prefix) bool { return s.Contains(a) }) {
			lost = append(lost, a)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	slices.SortFunc(lost, netip.Addr.Compare)
	var names []string
	for _, a := range lost[:min(len(lost), maxNamed)] {
		names = append(names, a.String())
	}
	if len(lost) > maxNamed {
		names = append(names, "...")
	}
	return []string{fmt.Sprintf("pods with addresses of a subnet that this machine no longer has are reached by nobody (%s): delete them, and they come back with new ones", strings.Join(names, ", "))}
}
