package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/components/reach"
)

// neighbours bounds the machines at which each tries its tunnel: up to
// neighbours+1 machines every pair is tried, and beyond that a ring of them, so
// that a hundred machines take no more time than twenty.
const neighbours = 20

// Reach plans who listens and who dials, by machine, so that it is known before
// anything is installed whether the machines reach each other: everybody the
// masters' API servers, masters each other's etcd and every kubelet, and all
// each other's tunnel. A new machine is also asked what its own firewall would do
// with pods' packets. It is empty where no machine is new.
//
// Machines that run the cluster already listen by themselves: at those a TCP
// connection is tried, and their tunnel, which answers only friends, is not.
func Reach(c components.Cluster, found Facts) map[string]reach.Request {
	trial := map[string]reach.Request{}
	fresh := false
	for _, m := range c.Machines {
		if f, ok := found.Machines[m.Name]; ok {
			fresh = fresh || blank(f)
			trial[m.Name] = reach.Request{}
		}
	}
	if !fresh {
		return nil
	}
	for i, to := range c.Machines {
		f, ok := found.Machines[to.Name]
		if !ok {
			continue
		}
		for _, need := range needs(c, to) {
			dial := reach.Dial{Endpoint: reach.Endpoint{Proto: need.proto, Addr: netip.AddrPortFrom(to.Address, uint16(need.port))}}
			if !blank(f) {
				if dial.Open = f.Units[actions.Service(need.unit)].Active == "active"; !dial.Open || need.proto == "udp" {
					continue // ours, and not in a state to be asked
				}
			}
			dialled := false
			for j, from := range c.Machines {
				request, ok := trial[from.Name]
				if !ok || i == j || need.mastersOnly && from.Role != components.Master ||
					need.proto == "udp" && (i-j+len(c.Machines))%len(c.Machines) > neighbours {
					continue
				}
				request.Dial = append(request.Dial, dial)
				trial[from.Name], dialled = request, true
			}
			if request := trial[to.Name]; dialled && !dial.Open {
				request.Listen = append(request.Listen, dial.Endpoint)
				trial[to.Name] = request
			}
		}
		if request := trial[to.Name]; blank(f) {
			own := reach.Endpoint{Proto: "tcp", Addr: netip.AddrPortFrom(to.Address, components.PortKubelet)}
			for _, pods := range c.Network.PodRanges() {
				request.Dial = append(request.Dial, reach.Dial{Endpoint: own, Pods: pods})
			}
			trial[to.Name] = request
		}
	}
	return trial
}

// blank is a machine that runs nothing of ours yet.
func blank(f components.Facts) bool { return len(f.Units) == 0 }

// Untouched says that nothing of ours is on the machine.
func Untouched(f components.Facts) bool { return !touched(f) }

// need is a port at which others must reach a machine.
type need struct {
	proto       string
	port        int
	unit        string // the component that listens there
	mastersOnly bool   // for masters alone
}

func needs(c components.Cluster, m components.MachineSpec) []need {
	all := []need{
		{"tcp", components.PortKubelet, "kubelet", true},
		{"udp", c.Overlay.Port, "overlay", false},
	}
	if m.Role == components.Master {
		all = append(all, need{"tcp", components.PortAPI, "apiserver", false},
			need{"tcp", components.PortEtcdClient, "etcd", true}, need{"tcp", components.PortEtcdPeer, "etcd", true})
	}
	return all
}

// Unreached makes sentences of what the machines reported, in the order of the
// file: those that cannot reach the same endpoint for the same reason share one.
func Unreached(c components.Cluster, reports map[string]reach.Report) []Problem {
	at := map[netip.Addr]string{}
	for _, m := range c.Machines {
		at[m.Address] = m.Name
	}
	var problems []Problem
	type key struct {
		reach.Endpoint
		reach.Reason
	}
	sharing := map[key][]string{}
	var order []key
	details := map[key]string{}
	for _, m := range c.Machines {
		for _, failure := range reports[m.Name].Failures {
			if failure.Reason == reach.Walled {
				text := "has a firewall that drops what pods send or get, and names that cannot be shown; see `nft list ruleset` there"
				shown := false
				if wall := failure.Wall; wall != nil && wall.Valid() {
					text, shown = walled(*wall), true
				}
				// One chain may stand in the way of both families.
				if problem := (Problem{m.Name, text}); !shown || !slices.Contains(problems, problem) {
					problems = append(problems, problem)
				}
				continue
			}
			k := key{failure.Endpoint, failure.Reason}
			if failure.Reason == reach.Busy {
				problems = append(problems, Problem{m.Name, fmt.Sprintf("cannot listen at %s: %s; the cluster needs that port", failure.Endpoint, failure.Detail)})
				continue
			}
			if len(sharing[k]) == 0 {
				order = append(order, k)
			}
			sharing[k] = append(sharing[k], m.Name)
			details[k] = failure.Detail
		}
	}
	for _, k := range order {
		to := at[k.Addr.Addr()]
		if to == "" {
			continue // nobody was asked to try that
		}
		problems = append(problems, Problem{some(sharing[k]), fmt.Sprintf("cannot reach %s at %s: %s", to, k.Endpoint, why(k.Endpoint, k.Reason, to, details[k]))})
	}
	return problems
}

func why(end reach.Endpoint, reason reach.Reason, to, detail string) string {
	port := fmt.Sprintf("%s %d", strings.ToUpper(end.Proto), end.Addr.Port())
	switch reason {
	case reach.Silent:
		return fmt.Sprintf("no answer comes, as when a firewall between them drops it; open %s on %s", port, to)
	case reach.Refused:
		return fmt.Sprintf("it is rejected, as by a firewall; open %s on %s", port, to)
	case reach.Stranger:
		return fmt.Sprintf("something else answers there; see that the address is %s's alone and that nothing redirects %s", to, port)
	default:
		return fmt.Sprintf("its own network has no way there (%s); give it a route to %s, and let its firewall pass %s", detail, end.Addr.Addr(), port)
	}
}

// some names machines, the first few of many.
func some(names []string) string {
	const few = 4
	names = slices.Compact(names)
	if len(names) > few+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}
