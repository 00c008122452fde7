package verify

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

// drillWorld is one of three masters, with all that a drill needs of it.
func drillWorld() (*world, DrillOptions, *plug) {
	w := newWorld("m1", "m2", "m3", "w1", "w2")
	w.leader = "m1"
	o := DrillOptions{
		Options: w.options(), Detect: 6 * time.Second, Evict: 4 * time.Second,
		API:    func(context.Context, string) (Cluster, error) { return w, nil },
		Inside: func(context.Context, string, string, bool) (components.API, error) { return w, nil },
	}
	return w, o, w.systemd(&o)
}

func TestTheSwitchComesFirstAndUndoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, options, power := drillWorld()
		reached := false
		options.Machines[4].Reconnect = func(context.Context) error { reached = true; return nil }
		result, err := RunDrill(t.Context(), WorkerPower, w, options)
		if err != nil || !result.Passed {
			t.Fatalf("%+v, %v", result, err)
		}
		if diff := cmp.Diff([]string{"arm w2", "cut w2", "look w2"}, w.ran); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"off w2", "on w2"}, power.calls); diff != "" {
			t.Error(diff)
		}
		if !reached {
			t.Error("its connection, which was cut, is the old one")
		}
		w.left(t)
	})
}

// Whoever runs the drill is gone in its middle: the machine comes back all the same.
func TestTheSwitchNeedsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, options, power := drillWorld()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := RunDrill(ctx, WorkerPower, w, options); err == nil {
			t.Error("no error")
		}
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"off w2", "on w2"}, power.calls); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAMachineThatCannotBeArmedIsNotHarmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, options, power := drillWorld()
		run := options.Machines[4].Run
		options.Machines[4].Run = func(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
			if argv[0] == "systemd-run" {
				return nil, errors.New("systemd-run: not found")
			}
			return run(ctx, argv, stdin)
		}
		_, err := RunDrill(t.Context(), WorkerPower, w, options)
		if err == nil || !strings.Contains(err.Error(), "w2: arm the switch that undoes the drill: systemd-run: not found") {
			t.Errorf("error %v", err)
		}
		if len(power.calls) != 0 {
			t.Errorf("%v", power.calls)
		}
		w.left(t)
	})
}

func TestMasterPower(t *testing.T) {
	for name, forgets := range map[string]bool{"": false, "writes are lost": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, options, _ := drillWorld()
				w.forgets = forgets
				options.Consent = func(p DrillPlan) error {
					if diff := cmp.Diff([]string{"m1"}, p.Machines); diff != "" || p.Observer != "m2" || p.Hold != 40*time.Second {
						t.Errorf("%+v", p)
					}
					return nil
				}
				options.Tell = func(m Moment) {
					if m.Seconds == 0 {
						time.AfterFunc(1500*time.Millisecond, func() {
							w.mu.Lock()
							defer w.mu.Unlock()
							w.leader = "m3"
						})
					}
				}
				result, err := RunDrill(t.Context(), MasterPower, w, options)
				if result.Passed == forgets || forgets != (err != nil && strings.Contains(err.Error(), "writes lost")) {
					t.Fatalf("%+v, %v", result, err)
				}
				got := map[string]float64{}
				for _, m := range result.Measures {
					got[m.Name] = *m.Value
				}
				for name, want := range map[string]struct{ least, most float64 }{
					"etcd leader": {1.5, 1.8}, "write gap outside": {1.3, 1.6}, "read gap inside": {1.3, 1.6}, "write gap pods": {1.3, 1.6}, "not ready": {6, 6.2}, "wrongly not ready": {0, 0},
				} {
					if got[name] < want.least || got[name] > want.most {
						t.Errorf("%s: %.3f, want %v to %v", name, got[name], want.least, want.most)
					}
				}
				w.left(t)
			})
		})
	}
}

// The goals that docs/drills.md names for the defaults.
func TestGoals(t *testing.T) {
	for kind, want := range map[Kind]map[string]float64{
		WorkerPower: {"endpoints gone": 8, "serving again": 12},
		Partition:   {"endpoints gone": 14, "serving again": 18, "etcd leader": 3},
	} {
		d := &drill{kind: kind, options: DrillOptions{Detect: 6 * time.Second, Evict: 4 * time.Second}}
		got := map[string]float64{}
		for _, m := range newTracker(d, nil).measures(clientView{}) {
			if m.Goal != nil {
				got[m.Name] = *m.Goal
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", kind, diff)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		kind     Kind
		machines string
		want     string
	}{
		{MasterPower, "m1 w1 w2", "there is one master: without it there is no API, and nobody who could take over"},
		{EtcdLeader, "m1 m2 w1", "of 2 masters 1 would be left, and etcd needs 2"},
		{Partition, "m1 m2 m3 w1", "a partition takes a worker away, which needs another worker to take over, and there is none"},
		{TwoWorkers, "m1 w1", "there are no two workers to lose"},
		{WorkerProcess, "m1", "there is no worker whose processes could be killed"},
		{WorkerPower, "m1 w1", "a worker's loss needs another worker to take over, and there is none"},
	} {
		w := newWorld(strings.Fields(test.machines)...)
		_, err := RunDrill(t.Context(), test.kind, w, DrillOptions{Options: w.options()})
		if refused, is := errors.AsType[RefusedError](err); !is || refused.Why != test.want {
			t.Errorf("%s of %s: %v", test.kind, test.machines, err)
		}
	}
	for _, kind := range Kinds {
		synctest.Test(t, func(t *testing.T) {
			w, options, power := drillWorld()
			w.notReady["w1"] = "NetworkNotReady"
			_, err := RunDrill(t.Context(), kind, w, options)
			if err == nil || err.Error() != "a drill begins with a cluster that is well: w1's Node is not ready" || len(power.calls) > 0 {
				t.Errorf("%s of a cluster that is unwell: %v", kind, err)
			}
		})
	}
}

func TestCutOff(t *testing.T) {
	peer := Machine{Address: netip.MustParseAddr("10.0.0.2"), Address6: netip.MustParseAddr("fd00::2")}
	f := cutOff(Machine{Name: "m1"}, "/nft", []Machine{peer}, []int{22, 2222})
	for _, want := range []string{
		`iifname \"wg0\" accept`, `oifname \"lo\" accept`, "ip saddr 10.0.0.2 accept", "ip6 daddr fd00::2 accept", "tcp dport 2222 accept", "tcp sport 22 accept",
	} {
		if !strings.Contains(f.harm, want) {
			t.Errorf("no %q in %s", want, f.harm)
		}
	}
	if f.mute || !cutOff(Machine{}, "/nft", nil, nil).mute {
		t.Error("who is reached by SSH is not mute, and who is not is")
	}
	for _, f := range []fault{f, cutOff(Machine{}, "/nft", nil, nil), killed(Machine{}, "etcd")} {
		if strings.ContainsAny(f.harm+f.undo, "$%'") {
			t.Errorf("systemd would read it otherwise: %s; %s", f.harm, f.undo)
		}
	}
}
