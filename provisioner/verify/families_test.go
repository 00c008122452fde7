package verify

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

// six is the IPv6 address that goes with an IPv4 one in the world.
func six(text string) string {
	raw := [16]byte{0xfd}
	last := netip.MustParseAddr(text).As4()
	copy(raw[12:], last[:])
	return netip.AddrFrom16(raw).String()
}

// four is the way back.
func four(text string) string {
	raw := netip.MustParseAddr(text).As16()
	return netip.AddrFrom4([4]byte(raw[12:])).String()
}

func (p *fakePod) addresses() []any {
	all := []any{map[string]any{"ip": p.address}}
	if p.dual {
		all = append(all, map[string]any{"ip": six(p.address)})
	}
	if p.sixFirst {
		slices.Reverse(all)
	}
	return all
}

func TestBothFamiliesAreChecked(t *testing.T) {
	for _, sixFirst := range []bool{false, true} {
		bothFamilies(t, sixFirst)
	}
}

func bothFamilies(t *testing.T, sixFirst bool) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		w.dual, w.sixFirst = true, sixFirst
		var mu sync.Mutex
		asked := map[string]int{} // by family, between pods
		w.broken = func(from, to, how string) error {
			mu.Lock()
			defer mu.Unlock()
			asked[how]++
			return nil
		}
		options := w.options()
		options.Outside = "outside.example:80"
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
		for check, want := range map[string]int{"pod to pod": 12, "host to pod": 12, "service": 6, "hairpin": 6, "large answers": 6, "node port": 5, "dns": 6} {
			if counts[check] != want {
				t.Errorf("%s: %d results, want %d", check, counts[check], want)
			}
		}
		// Of what is asked, half is of IPv6, but for what is made once, or exchanged.
		if six, all := asked["IPv6"], asked["pod"]+asked["all"]+asked["near"]+asked["node port"]; six < all/3 || six > 2*all/3 {
			t.Errorf("%d of %d were asked in IPv6: %v", six, all, asked)
		}
	})
}

func TestFaultsOfOneFamilyAreNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1")
		w.dual = true
		w.broken = func(from, _, how string) error {
			if how == "IPv6" && from == "w1" {
				return errors.New("no route to host")
			}
			return nil
		}
		options := w.options()
		options.Outside = "outside.example:80"
		results, err := Run(t.Context(), w, options)
		if err != nil {
			t.Fatal(err)
		}
		failed := map[string][]string{}
		for _, r := range results {
			if r.Outcome == Failed {
				failed[r.Check] = append(failed[r.Check], r.Subject)
			}
		}
		for _, check := range []string{"pod to pod", "host to pod"} {
			if diff := cmp.Diff([]string{"w1 → m1, IPv6"}, failed[check]); diff != "" {
				t.Errorf("%s: %s", check, diff)
			}
		}
		for _, check := range []string{"service", "dns"} {
			if diff := cmp.Diff([]string{"w1, IPv6"}, failed[check]); diff != "" {
				t.Errorf("%s: %s", check, diff)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1")
		options := w.options() // the pods have no address of IPv6
		options.Dual, options.Outside = true, "outside.example:80"
		results, err := Run(t.Context(), w, options)
		if err != nil {
			t.Fatal(err)
		}
		got := said(results, func(r Result) bool { return r.Check == "pod to pod" && r.Outcome != OK })
		want := []string{"pod to pod | m1 → w1, IPv6 | failed | the pod there has no address of IPv6", "pod to pod | w1 → m1, IPv6 | failed | the pod there has no address of IPv6"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
