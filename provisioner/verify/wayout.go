package verify

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"provision/components/resolver"
)

// wayOut is what a machine itself can reach outside of the cluster, as far as
// it can be tried without anybody being asked whom the machine does not ask
// anyway: its own resolvers.
type wayOut struct {
	servers []netip.Addr // resolvers that answer the machine, and may answer pods
	why     string       // there are none
}

// The files that may hold a machine's real resolvers, in the order in which
// facts and kubelet take them: systemd-resolved's own before the one that names
// only its stub on loopback.
var resolvConfs = []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"}

// askOut bounds the question to one resolver.
const askOut = 2 * time.Second

// waysOut looks at all machines at once. dual says that pods have IPv6.
func waysOut(ctx context.Context, machines []Machine, dual bool) map[string]wayOut {
	ways := map[string]wayOut{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, m := range machines {
		all.Go(func() {
			way := findWay(ctx, m, dual)
			mu.Lock()
			defer mu.Unlock()
			ways[m.Name] = way
		})
	}
	all.Wait()
	return ways
}

func findWay(ctx context.Context, m Machine, dual bool) wayOut {
	if m.Dial == nil || m.ReadFile == nil {
		return wayOut{why: "the machine cannot be reached, so nobody knows whether it has a way out"}
	}
	servers := resolvers(ctx, m)
	if len(servers) == 0 {
		return wayOut{why: "no way out: " + routeless(ctx, m) + "the machine has no resolver"}
	}
	usable := slices.DeleteFunc(slices.Clone(servers), func(a netip.Addr) bool {
		return a.IsLoopback() || a.IsLinkLocalUnicast() || a.Is6() && !dual
	})
	if len(usable) == 0 {
		nor := "IPv6"
		if dual {
			nor = "what is on its links alone"
		}
		return wayOut{why: "no way out for pods, which reach neither a machine's loopback nor " + nor + ": the machine's resolvers are " + list(servers)}
	}
	errs := make([]error, len(usable))
	var all sync.WaitGroup
	for i, server := range usable {
		all.Go(func() { errs[i] = askFromMachine(ctx, m, server) })
	}
	all.Wait()
	var way wayOut
	for i, server := range usable {
		if errs[i] == nil {
			way.servers = append(way.servers, server)
		}
	}
	if len(way.servers) == 0 {
		way.why = fmt.Sprintf("no way out: %sthe machine's resolver %s says nothing of the world: %v", routeless(ctx, m), usable[0], errs[0])
	}
	return way
}

// resolvers are those of the first file that names some, none of them on
// loopback; where there is no such file, those of the last that names any.
func resolvers(ctx context.Context, m Machine) (servers []netip.Addr) {
	for _, name := range resolvConfs {
		conf, err := m.ReadFile(ctx, name)
		if err != nil {
			continue
		}
		found := resolver.Servers(conf)
		if len(found) > 0 && !slices.ContainsFunc(found, netip.Addr.IsLoopback) {
			return found
		}
		if len(found) > 0 {
			servers = found
		}
	}
	return servers
}

// askFromMachine asks over TCP, since that is what SSH carries.
func askFromMachine(ctx context.Context, m Machine, server netip.Addr) error {
	ctx, cancel := context.WithTimeout(ctx, askOut)
	defer cancel()
	conn, err := m.Dial(ctx, "tcp", netip.AddrPortFrom(server, 53).String())
	if err != nil {
		return err
	}
	_, err = resolver.Ask(ctx, conn)
	return err
}

// routeless says so of a machine without a default route, as the beginning of a
// sentence.
func routeless(ctx context.Context, m Machine) string {
	if hasDefaultRoute(ctx, m) {
		return ""
	}
	return "there is no default route, and "
}

// reject is set in a route's flags where it leads nowhere.
const reject = 0x200

// hasDefaultRoute reads the kernel's tables: a route of either family to
// everywhere that leads somewhere. A machine that does not tell is believed to
// have one.
func hasDefaultRoute(ctx context.Context, m Machine) bool {
	if table, err := m.ReadFile(ctx, "/proc/net/ipv6_route"); err == nil && hasDefault6(string(table)) {
		return true
	}
	table, err := m.ReadFile(ctx, "/proc/net/route")
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" {
			continue
		}
		if flags, err := hex.DecodeString(fields[3]); err == nil && len(flags) == 2 && binary.BigEndian.Uint16(flags)&reject == 0 {
			return true
		}
	}
	return false
}

// hasDefault6 reads /proc/net/ipv6_route: where to, its length, from, its length,
// by whom, metric, two counts, flags, link.
func hasDefault6(table string) bool {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || strings.Trim(fields[0], "0") != "" || fields[1] != "00" {
			continue
		}
		if flags, err := hex.DecodeString(fields[8]); err == nil && len(flags) == 4 && binary.BigEndian.Uint32(flags)&reject == 0 {
			return true
		}
	}
	return false
}

func list(addresses []netip.Addr) string {
	var texts []string
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

// eachWayOut makes a subject of every machine that has a way out itself.
func (s *stage) eachWayOut(try func(ctx context.Context, from pod, way wayOut) (string, error)) []subject {
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		way := s.ways[from.node]
		if way.why != "" {
			return "", errSkip(way.why)
		}
		return try(ctx, from, way)
	})
}

// dnsOutside looks up the name that the file says, or else asks the cluster's
// DNS what only somebody outside can answer.
func (s *stage) dnsOutside() []subject {
	host, _, err := net.SplitHostPort(s.options.Outside)
	if err != nil {
		return s.eachWayOut(func(ctx context.Context, from pod, _ wayOut) (string, error) {
			text, err := s.inPod(ctx, from, "resolver", "--timeout", "1s")
			return "the root's servers: " + strings.Join(strings.Fields(text), " "), err
		})
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return skipped("the server outside is given by its address")
	}
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		text, err := s.inPod(ctx, from, "dns", "--timeout", "2s", host)
		return strings.Join(strings.Fields(text), ", "), err
	})
}

// outside reaches the server that the file names, or else the machine's own
// resolvers, over UDP and over TCP.
func (s *stage) outside() []subject {
	if s.options.Outside == "" {
		return s.eachWayOut(func(ctx context.Context, from pod, way wayOut) (string, error) {
			errs := make([]error, len(way.servers))
			var all sync.WaitGroup
			for i, server := range way.servers {
				all.Go(func() { _, errs[i] = s.inPod(ctx, from, "resolver", "--timeout", "1s", "--server", server.String()) })
			}
			all.Wait()
			return "the machine's resolver " + list(way.servers) + ", over UDP and TCP", errors.Join(errs...)
		})
	}
	return s.eachPod(probeSet, func(ctx context.Context, from pod) (string, error) {
		_, err := s.inPod(ctx, from, "get", "--timeout", "2s", "--size", "http://"+s.options.Outside+"/")
		// Any answer at all shows the way out and back.
		if err != nil && strings.Contains(err.Error(), ": status ") {
			return "answered with " + err.Error()[strings.LastIndex(err.Error(), ": status ")+2:], nil
		}
		return "", err
	})
}
