package verify

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/wire"
	"provision/provisioner/mesh"
)

func about(check string) func(Result) bool { return func(r Result) bool { return r.Check == check } }

// verified runs all checks in a world and returns what one said.
func verified(t *testing.T, w *world, check string, change func(*Options)) (lines []string) {
	t.Helper()
	options := w.options()
	if change != nil {
		change(&options)
	}
	results, err := Run(t.Context(), w, options)
	if err != nil {
		t.Fatal(err)
	}
	w.left(t)
	return said(results, about(check))
}

func TestEachPairExchangesTheTextThatIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		lines := verified(t, w, "encryption", nil)
		if diff := cmp.Diff([]string{
			"encryption | m1 | ok | none of 100 packets in clear, 40 of WireGuard",
			"encryption | w1 | ok | none of 100 packets in clear, 40 of WireGuard",
			"encryption | w2 | ok | none of 100 packets in clear, 40 of WireGuard",
		}, lines); diff != "" {
			t.Error(diff)
		}
		if len(w.sniffs) != 3 {
			t.Fatalf("%d machines looked", len(w.sniffs))
		}
		if err := w.sniffs[0].Check(); err != nil {
			t.Error(err)
		}
		slices.Sort(w.told)
		marker := regexp.MustCompile(regexp.QuoteMeta(w.sniffs[0].Marker))
		for i := range w.told {
			w.told[i] = marker.ReplaceAllString(w.told[i], "MARKER")
		}
		if diff := cmp.Diff([]string{
			"m1 --timeout 5s --marker MARKER --to 10.244.1.3:8080,10.244.2.4:8080",
			"w1 --timeout 5s --marker MARKER --to 10.244.2.4:8080",
		}, w.told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatIsSeenOnTheWire(t *testing.T) {
	on := func(links ...wire.Link) wire.Report { return wire.Report{Links: links} }
	for name, test := range map[string]struct {
		machines []string
		w1       wire.Report
		err      error
		broken   func(from, to, how string) error
		change   func(*Options)
		want     string
	}{
		"in clear": {w1: on(wire.Link{Name: "eth0", Packets: 50, WireGuard: 9, Clear: 3}, wire.Link{Name: "eth1", Packets: 50}),
			want: "failed | 3 packets of pods were in clear on eth0: anybody on the way could read them"},
		"in clear, and the agent tells what": {w1: on(wire.Link{Name: "eth0", Packets: 50, Clear: 3, As: wire.Kinds{TCP4: 1, UDP6: 1}}, wire.Link{Name: "eth1", Packets: 50, Clear: 1, As: wire.Kinds{TCP4: 1}}),
			want: "failed | 4 packets of pods were in clear on eth0, eth1 (IPv4 TCP, IPv6 UDP): anybody on the way could read them"},
		"no WireGuard": {w1: on(wire.Link{Name: "eth0", Packets: 50}),
			want: "failed | pods exchanged a text, and none of 50 packets was of WireGuard: they take a way that is not looked at"},
		"too fast": {w1: on(wire.Link{Name: "eth0", Packets: 50, WireGuard: 9, Missed: 7}),
			want: "ok | none of 50 packets in clear, 9 of WireGuard, 7 more came too fast to be looked at"},
		"ended early": {w1: wire.Report{Links: []wire.Link{{Name: "eth0", Packets: 50, WireGuard: 9}}, Ended: "it took too long"},
			want: "failed | the look at its links ended early: it took too long"},
		"an old agent": {err: &components.ExitError{Code: 64},
			want: "not checked | its agent is too old to look at its links: `provision up` brings a newer one"},
		"no look": {err: errors.New("operation not permitted"),
			want: "failed | look at its links: operation not permitted"},
		"not reached": {change: func(o *Options) { o.Machines[1].Sniff = nil },
			want: "not checked | the machine cannot be reached, so nobody looks at its links"},
		"nothing comes back": {
			machines: []string{"w1", "w2"},
			w1:       on(wire.Link{Name: "eth0", Packets: 50, WireGuard: 9}),
			broken: func(from, to, how string) error {
				if from == "w1" && to == "w2" && how == "pod" {
					return errors.New("i/o timeout")
				}
				return nil
			},
			want: "failed | what its pod sends does not come back: probe get: 10.244.1.3:8080: udp: i/o timeout",
		},
		"nothing arrives": {
			w1: on(wire.Link{Name: "eth0", Packets: 50}),
			broken: func(from, to, how string) error {
				if from == "m1" && to == "w1" && how == "pod" {
					return errors.New("i/o timeout")
				}
				return nil
			},
			want: "not checked | nothing was exchanged: what the pod on m1 sends does not come back",
		},
		"a machine alone": {machines: []string{"m1"}, want: "not checked | there is no other machine: nothing leaves this one"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if test.machines == nil {
					test.machines = []string{"m1", "w1"}
				}
				w := newWorld(test.machines...)
				sound := w.links
				w.links = func(node string) (wire.Report, error) {
					if node == "w1" && (test.err != nil || len(test.w1.Links) > 0) {
						return test.w1, test.err
					}
					return sound(node)
				}
				if test.broken != nil {
					w.broken = test.broken
				}
				lines := verified(t, w, "encryption", test.change)
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, " | "+test.want) }) {
					t.Errorf("want %q among\n%s", test.want, strings.Join(lines, "\n"))
				}
			})
		})
	}
}

func TestPathMTU(t *testing.T) {
	begin := time.Time{}
	for name, test := range map[string]struct {
		change func(*mesh.Seen) // what w1's agent says
		want   string           // of w1 → m1
	}{
		"sound":  {func(*mesh.Seen) {}, "ok | 1420 bytes"},
		"narrow": {func(s *mesh.Seen) { s.Status.Peers[0].PathMTU = 1372 }, "failed | packets of 1420 bytes do not arrive at m1, of 1372 they do: set overlay { mtu = 1372 }"},
		"too narrow": {func(s *mesh.Seen) { s.Status.Peers[0].PathMTU = 1200 },
			"failed | packets of 1420 bytes do not arrive at m1, of 1200 they do, and a tunnel needs 1280: the network between the machines must carry packets of 1360 bytes"},
		"a fresh cluster": {func(s *mesh.Seen) {
			if time.Since(begin) < 4*time.Second {
				s.Status.Peers = nil
			} else if time.Since(begin) < 12*time.Second {
				s.Status.Peers[0].PathMTU = 0
			}
		}, "ok | 1420 bytes"},
		"never found": {func(s *mesh.Seen) { s.Status.Peers[0].PathMTU = 0 }, "not checked | its overlay agent has not found it out yet"},
		"silent":      {func(s *mesh.Seen) { s.Status.Peers[0].RoundTripMS = 0 }, "not checked | m1 answers nothing through the tunnel"},
		"a stranger":  {func(s *mesh.Seen) { s.Status.Peers = nil }, "not checked | its overlay agent does not know m1"},
		"not running": {func(s *mesh.Seen) { s.Status.Updated = s.Now.Add(-time.Minute) }, "not checked | its overlay agent last spoke 1m0s ago"},
		"no agent":    {func(s *mesh.Seen) { s.Err = errors.New("its overlay agent does not run") }, "not checked | its overlay agent does not run"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin = time.Now()
				w := newWorld("m1", "w1")
				w.tunnels = func(node string) mesh.Seen {
					seen := w.sound(node)
					if node == "w1" {
						test.change(&seen)
					}
					return seen
				}
				if diff := cmp.Diff([]string{"path mtu | m1 → w1 | ok | 1420 bytes", "path mtu | w1 → m1 | " + test.want}, verified(t, w, "path mtu", nil)); diff != "" {
					t.Error(diff)
				}
				if took := time.Since(begin); took > pathPatience+5*time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
