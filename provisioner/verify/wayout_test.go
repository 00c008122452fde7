package verify

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// The kernel's routes, as /proc/net/route shows them.
const (
	routeHead     = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	routeOnLink   = "eth0\t0038A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	routeDefault  = "eth0\t00000000\tFE38A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
	route6OnLink  = "fd000192016800560000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n"
	route6Default = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000192016800560000000000000254 00000400 00000001 00000000 00000003 eth0\n"
	route6Reject  = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n"
	routeReject   = "*\t00000000\t00000000\t0200\t0\t0\t0\t00000000\t0\t0\t0\n"
)

func aboutOutside(r Result) bool { return r.Check == "dns outside" || r.Check == "outside" }

// TestTheWayOut has one master that says nothing of the outside, in worlds where
// it has a way there and where not.
func TestTheWayOut(t *testing.T) {
	refuse := func(_, server string) error { return errors.New(server + ": i/o timeout") }
	notChecked := func(why string) []string {
		return []string{"dns outside | m1 | not checked | " + why, "outside | m1 | not checked | " + why}
	}
	for name, test := range map[string]struct {
		files     map[string]string
		resolvers map[string]int
		egress    func(node, server string) error
		want      []string
	}{
		"a way": {
			want: []string{
				"dns outside | m1 | ok | the root's servers: udp: NOERROR, 13 records tcp: NOERROR, 13 records",
				"outside | m1 | ok | the machine's resolver 192.0.2.53, over UDP and TCP",
			},
		},
		"not for pods": {
			egress: refuse,
			want: []string{
				"dns outside | m1 | failed | probe get: cluster DNS: i/o timeout",
				"outside | m1 | failed | probe get: 192.0.2.53: i/o timeout",
			},
		},
		"no default route": {
			files:     map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.53\n", "/proc/net/route": routeHead + routeOnLink + routeReject},
			resolvers: map[string]int{},
			want:      notChecked("no way out: there is no default route, and the machine's resolver 192.0.2.53 says nothing of the world: network is unreachable"),
		},
		"a resolver without a way out itself": {
			files:     map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.53\n", "/proc/net/route": routeHead + routeDefault + routeOnLink},
			resolvers: map[string]int{"192.0.2.53": dns.RcodeServerFailure},
			want:      notChecked("no way out: the machine's resolver 192.0.2.53 says nothing of the world: answered SERVFAIL"),
		},
		"no resolver and no route": {
			files: map[string]string{"/proc/net/route": routeHead + routeOnLink},
			want:  notChecked("no way out: there is no default route, and the machine has no resolver"),
		},
		"several, of which one answers": {
			files:     map[string]string{"/etc/resolv.conf": "nameserver 192.0.2.1\nnameserver 2001:db8::1\nnameserver 192.0.2.53\n"},
			resolvers: map[string]int{"192.0.2.53": dns.RcodeNameError},
			want: []string{
				"dns outside | m1 | ok | the root's servers: udp: NOERROR, 13 records tcp: NOERROR, 13 records",
				"outside | m1 | ok | the machine's resolver 192.0.2.53, over UDP and TCP",
			},
		},
		"systemd's stub": {
			files: map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.53\n", "/run/systemd/resolve/resolv.conf": "nameserver 192.0.2.53\n"},
			want: []string{
				"dns outside | m1 | ok | the root's servers: udp: NOERROR, 13 records tcp: NOERROR, 13 records",
				"outside | m1 | ok | the machine's resolver 192.0.2.53, over UDP and TCP",
			},
		},
		"loopback alone": {
			files:     map[string]string{"/etc/resolv.conf": "nameserver 127.0.0.1\n"},
			resolvers: map[string]int{"127.0.0.1": dns.RcodeSuccess},
			want:      notChecked("no way out for pods, which reach neither a machine's loopback nor IPv6: the machine's resolvers are 127.0.0.1"),
		},
		"IPv6 alone": {
			files: map[string]string{"/etc/resolv.conf": "nameserver 2001:db8::1\nnameserver fe80::1%eth0\n"},
			want:  notChecked("no way out for pods, which reach neither a machine's loopback nor IPv6: the machine's resolvers are 2001:db8::1, fe80::1%eth0"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("m1")
				if test.files != nil {
					w.files = test.files
				}
				if test.resolvers != nil {
					w.resolvers = test.resolvers
				}
				if test.egress != nil {
					w.egress = test.egress
				}
				results, err := Run(t.Context(), w, w.options())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, said(results, aboutOutside)); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestTheWayOutInIPv6: pods with IPv6 reach resolvers that are there.
func TestTheWayOutInIPv6(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string // of the check outside
	}{
		"a way": {map[string]string{"/etc/resolv.conf": "nameserver 2001:db8::1\n"}, "ok | the machine's resolver 2001:db8::1, over UDP and TCP"},
		"no default route": {map[string]string{"/etc/resolv.conf": "nameserver 2001:db8::2\n", "/proc/net/route": routeHead + routeOnLink, "/proc/net/ipv6_route": route6OnLink + route6Reject},
			"not checked | no way out: there is no default route, and the machine's resolver 2001:db8::2 says nothing of the world: network is unreachable"},
		"a default route of IPv6 alone": {map[string]string{"/etc/resolv.conf": "nameserver 2001:db8::2\n", "/proc/net/route": routeHead, "/proc/net/ipv6_route": route6OnLink + route6Default},
			"not checked | no way out: the machine's resolver 2001:db8::2 says nothing of the world: network is unreachable"},
		"on its links alone": {map[string]string{"/etc/resolv.conf": "nameserver ::1\nnameserver fe80::1%eth0\n"},
			"not checked | no way out for pods, which reach neither a machine's loopback nor what is on its links alone: the machine's resolvers are ::1, fe80::1%eth0"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("m1")
				w.dual, w.files = true, test.files
				w.resolvers = map[string]int{"[2001:db8::1]": dns.RcodeSuccess}
				results, err := Run(t.Context(), w, w.options())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"outside | m1 | " + test.want}, said(results, about("outside"))); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestEachMachineHasItsOwnWayOut: what one cannot reach is no other's excuse.
func TestEachMachineHasItsOwnWayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		w.files["w1:/etc/resolv.conf"] = "nameserver 192.0.2.99\n"
		w.egress = func(node, server string) error {
			if node == "w2" && server == "192.0.2.53" {
				return errors.New("i/o timeout")
			}
			return nil
		}
		options := w.options()
		options.Machines[0].Dial, options.Machines[0].ReadFile = nil, nil
		results, err := Run(t.Context(), w, options)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{
			"outside | m1 | not checked | the machine cannot be reached, so nobody knows whether it has a way out",
			"outside | w1 | not checked | no way out: the machine's resolver 192.0.2.99 says nothing of the world: network is unreachable",
			"outside | w2 | failed | probe get: i/o timeout",
		}, said(results, func(r Result) bool { return r.Check == "outside" })); diff != "" {
			t.Error(diff)
		}
	})
}
