package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// said writes results as "check subject outcome detail" lines, without times.
func said(results []Result, keep func(Result) bool) []string {
	var lines []string
	for _, r := range results {
		if keep(r) {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s | %s | %s | %s", r.Check, r.Subject, r.Outcome, r.Detail)))
		}
	}
	return lines
}

func notOK(r Result) bool { return r.Outcome != OK }

func TestASoundClusterPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		options := w.options()
		options.Outside = "outside.example:80"
		var observed int
		options.Observe = func(Result) { observed++ }
		results, err := Run(t.Context(), w, options)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string(nil), said(results, notOK)); diff != "" {
			t.Error(diff)
		}
		counts := map[string]int{}
		for _, r := range results {
			counts[r.Check]++
		}
		want := map[string]int{}
		for _, c := range Checks {
			want[c.Name] = 3
		}
		want["pod to pod"], want["host to pod"], want["path mtu"] = 6, 6, 6
		if diff := cmp.Diff(want, counts); diff != "" {
			t.Error(diff)
		}
		if observed != len(results) {
			t.Errorf("%d of %d results were observed", observed, len(results))
		}
		detail := said(results, func(r Result) bool {
			return r.Check == "node port" || r.Check == "overlay" && r.Subject == "m1" || r.Check == "outside" && r.Subject == "m1"
		})
		if diff := cmp.Diff([]string{
			"overlay | m1 | ok | WireGuard, userspace",
			"node port | m1 | ok | asked from w1, answered on w2",
			"node port | w1 | ok | asked from w2, answered on w2",
			"node port | w2 | ok | asked from m1, answered on w2",
			"outside | m1 | ok | answered with status 404 Not Found",
		}, detail); diff != "" {
			t.Error(diff)
		}
		w.left(t)
	})
}

func TestFaultsAreNamed(t *testing.T) {
	timeout := errors.New("dial tcp: i/o timeout")
	for name, test := range map[string]struct {
		broken   func(from, to, how string) error
		machines []string
		want     []string
	}{
		"one direction": {
			broken: func(from, to, how string) error {
				if from == "w1" && to == "m1" && how == "pod" {
					return timeout
				}
				return nil
			},
			want: []string{
				"pod to pod | w1 → m1 | failed | probe get: dial tcp: i/o timeout",
				"large answers | w1 → m1 | failed | probe get: dial tcp: i/o timeout",
				"host to pod | w1 → m1 | failed | http://10.244.0.2:8080/: dial tcp: i/o timeout",
			},
		},
		"no hairpin": {
			broken: func(from, to, how string) error {
				if how == "near" && to == "w1" {
					return timeout
				}
				return nil
			},
			want: []string{
				"same machine | w1 | failed | probe get: dial tcp: i/o timeout",
				"hairpin | w1 | failed | probe get: dial tcp: i/o timeout",
			},
		},
		"no exec": {
			broken: func(from, to, how string) error {
				if how == "exec" && to == "w1" {
					return errors.New("error dialing backend: remote error: tls: internal error")
				}
				return nil
			},
			want: []string{"exec | w1 | failed | error dialing backend: remote error: tls: internal error"},
		},
		"no node port": {
			broken: func(from, to, how string) error {
				if how == "node port" && from == "m1" {
					return timeout
				}
				return nil
			},
			want: []string{"node port | w1 | failed | http://10.0.0.2:30001/: dial tcp: i/o timeout"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("m1", "w1")
				w.broken = test.broken
				results, err := Run(t.Context(), w, w.options())
				if err != nil {
					t.Fatal(err)
				}
				got := said(results, func(r Result) bool { return r.Outcome == Failed })
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if Passed(results) {
					t.Error("it passed")
				}
				w.left(t)
			})
		})
	}
}

func TestAMachineThatIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1")
		w.notReady["w1"] = "cni plugin not initialized"
		options := w.options()
		options.Machines[1].Dial = nil
		options.Machines = append(options.Machines, Machine{Name: "w2", Address: options.Machines[1].Address})
		results, err := Run(t.Context(), w, options)
		if err != nil {
			t.Fatal(err)
		}
		got := said(results, func(r Result) bool {
			return r.Check == "nodes ready" || r.Check == "probes" || r.Check == "service from host"
		})
		if diff := cmp.Diff([]string{
			"nodes ready | m1 | ok |",
			"nodes ready | w1 | failed | KubeletNotReady: cni plugin not initialized",
			"nodes ready | w2 | failed | there is no Node of that name",
			"probes | m1 | ok |",
			"probes | w1 | ok |",
			"probes | w2 | failed | no pod was made for it",
			"service from host | m1 | ok |",
			"service from host | w1 | failed | the machine cannot be reached",
			"service from host | w2 | failed | the machine cannot be reached",
		}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWhatWorksLateSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1")
		tries := 0
		w.broken = func(_, _, how string) error {
			if how == "all" {
				if tries++; tries < 3 {
					return errors.New("connection refused")
				}
			}
			return nil
		}
		results, err := Run(t.Context(), w, w.options())
		if err != nil {
			t.Fatal(err)
		}
		late := said(results, func(r Result) bool { return strings.Contains(r.Detail, "try") })
		if len(late) == 0 || !Passed(results) {
			t.Errorf("results: %v", said(results, func(Result) bool { return true }))
		}
	})
}

func TestAnInterruptCleansUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1")
		w.broken = func(_, _, _ string) error { return errors.New("connection refused") }
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := Run(ctx, w, w.options())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("took %v to stop", took)
		}
		w.left(t)
	})
}

func TestVerifyWaitsUntilNothingRuns(t *testing.T) {
	for lingering, wrong := range map[time.Duration]string{10 * time.Second: "", time.Hour: "is told to go, and not empty yet: 2 pods are still there"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld("m1")
			w.lingering = lingering
			begin := time.Now()
			_, err := Run(t.Context(), w, w.options())
			if took := time.Since(begin); took < 10*time.Second || took > 2*time.Minute {
				t.Errorf("%s: it took %s", lingering, took)
			}
			if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
				t.Errorf("%s: the error is %v", lingering, err)
			}
		})
	}
}

func TestSweepTakesWhatWasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1")
		here, _, _ := strings.Cut(owner(), "/")
		w.namespaces["provision-verify-dead"] = &space{owner: here + "/2147483600", created: time.Now()}
		w.namespaces["provision-verify-reused"] = &space{owner: fmt.Sprintf("%s/%d/1", here, os.Getpid()), created: time.Now()}
		w.namespaces["provision-verify-mine"] = &space{owner: owner(), created: time.Now()}
		w.namespaces["provision-verify-theirs"] = &space{owner: "elsewhere/1", created: time.Now()}
		w.namespaces["provision-verify-old"] = &space{owner: "elsewhere/1", created: time.Now().Add(-time.Hour)}
		w.namespaces["somebody"] = &space{created: time.Now().Add(-time.Hour)}
		if err := sweep(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, name := range []string{"provision-verify-dead", "provision-verify-reused", "provision-verify-mine", "provision-verify-theirs", "provision-verify-old", "somebody"} {
			if w.namespaces[name] != nil {
				names = append(names, name)
			}
		}
		if diff := cmp.Diff([]string{"provision-verify-mine", "provision-verify-theirs", "somebody"}, names); diff != "" {
			t.Error(diff)
		}
	})
}
