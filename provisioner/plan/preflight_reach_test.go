package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/componentstest"
	"provision/components/reach"
	"provision/overlay/firewall"
)

// fresh are blank machines of these names.
func fresh(names ...string) (components.Cluster, Facts) {
	c := componentstest.Cluster(names...)
	found := Facts{Machines: map[string]components.Facts{}}
	for _, name := range names {
		found.Machines[name] = components.Facts{}
	}
	return c, found
}

func dials(r reach.Request) []string {
	var words []string
	for _, dial := range r.Dial {
		word := dial.Endpoint.String()
		if dial.Open {
			word += " open"
		}
		if dial.Pods.IsValid() {
			word += " from " + dial.Pods.String()
		}
		words = append(words, word)
	}
	return words
}

func listens(r reach.Request) []string {
	var words []string
	for _, end := range r.Listen {
		words = append(words, end.String())
	}
	return words
}

func TestWhoTriesToReachWhom(t *testing.T) {
	c, found := fresh("m1", "w1", "w2")
	trial := Reach(c, found)
	want := []string{"192.0.2.1:51820 (UDP)", "192.0.2.1:6443 (TCP)", "192.0.2.2:10250 (TCP) from 10.244.0.0/16", "192.0.2.3:51820 (UDP)"}
	if diff := cmp.Diff(want, dials(trial["w1"])); diff != "" {
		t.Errorf("w1 dials, want -, got +:\n%s", diff)
	}
	want = []string{"192.0.2.1:10250 (TCP) from 10.244.0.0/16", "192.0.2.2:10250 (TCP)", "192.0.2.2:51820 (UDP)", "192.0.2.3:10250 (TCP)", "192.0.2.3:51820 (UDP)"}
	if diff := cmp.Diff(want, dials(trial["m1"])); diff != "" {
		t.Errorf("m1 dials, want -, got +:\n%s", diff)
	}
	// With one master nobody else has business at its etcd.
	if diff := cmp.Diff([]string{"192.0.2.1:51820 (UDP)", "192.0.2.1:6443 (TCP)"}, listens(trial["m1"])); diff != "" {
		t.Errorf("m1 listens, want -, got +:\n%s", diff)
	}
	c, found = fresh("m1", "m2", "m3")
	if got := dials(Reach(c, found)["m3"]); !slices.Contains(got, "192.0.2.1:2380 (TCP)") || !slices.Contains(got, "192.0.2.2:2379 (TCP)") {
		t.Errorf("m3 dials %q", got)
	}
}

func TestANewMachineTriesTheRunningCluster(t *testing.T) {
	c, found := fresh("m1", "w1", "w2")
	for name, units := range map[string][]string{"m1": {"apiserver", "kubelet", "overlay"}, "w1": {"kubelet", "overlay"}} {
		f := components.Facts{Units: map[string]components.UnitFact{}}
		for _, unit := range units {
			f.Units["provision-"+unit+".service"] = components.UnitFact{Active: "active"}
		}
		found.Machines[name] = f
	}
	trial := Reach(c, found)
	if diff := cmp.Diff([]string{"192.0.2.1:6443 (TCP) open", "192.0.2.3:10250 (TCP) from 10.244.0.0/16"}, dials(trial["w2"])); diff != "" {
		t.Errorf("w2 dials, want -, got +:\n%s", diff)
	}
	if len(trial["m1"].Listen) > 0 || len(trial["w2"].Listen) != 2 {
		t.Errorf("m1 listens at %v, w2 at %v", trial["m1"].Listen, trial["w2"].Listen)
	}
	found.Machines["w2"] = found.Machines["w1"]
	if trial := Reach(c, found); len(trial) > 0 {
		t.Errorf("no machine is new, and %v", trial)
	}
}

func TestAMachineThatDoesNotAnswerIsNotTried(t *testing.T) {
	c, found := fresh("m1", "w1", "w2")
	delete(found.Machines, "w2")
	trial := Reach(c, found)
	if _, there := trial["w2"]; there || strings.Contains(fmt.Sprint(dials(trial["m1"])), "192.0.2.3") {
		t.Errorf("%v", trial)
	}
	delete(found.Machines, "w1")
	if diff := cmp.Diff([]string{"192.0.2.1:10250 (TCP) from 10.244.0.0/16"}, dials(Reach(c, found)["m1"])); diff != "" {
		t.Errorf("one machine alone, want -, got +:\n%s", diff)
	}
}

func TestManyMachinesTryARing(t *testing.T) {
	names := []string{"m1"}
	for i := range 99 {
		names = append(names, fmt.Sprintf("w%d", i+1))
	}
	c, found := fresh(names...)
	trial := Reach(c, found)
	for name, request := range trial {
		if limit := neighbours + 2; name != "m1" && len(request.Dial) > limit {
			t.Errorf("%s dials %d endpoints", name, len(request.Dial))
		}
		if request.Key = make([]byte, 32); request.Check() != nil {
			t.Errorf("%s: %v", name, request.Check())
		}
		if !slices.ContainsFunc(request.Listen, func(e reach.Endpoint) bool { return e.Proto == "udp" }) {
			t.Errorf("nobody tries %s's tunnel", name)
		}
	}
}

func TestWhatIsNotReachedIsASentence(t *testing.T) {
	c, _ := fresh("m1", "w1", "w2", "w3", "w4", "w5", "w6")
	api := reach.Endpoint{Proto: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:6443")}
	tunnel := reach.Endpoint{Proto: "udp", Addr: netip.MustParseAddrPort("192.0.2.2:51820")}
	reports := map[string]reach.Report{}
	for _, name := range []string{"w1", "w2", "w3", "w4", "w5", "w6"} {
		reports[name] = reach.Report{Failures: []reach.Failure{{Endpoint: api, Reason: reach.Silent}}}
	}
	reports["m1"] = reach.Report{Failures: []reach.Failure{
		{Endpoint: tunnel, Reason: reach.Refused},
		{Endpoint: api, Reason: reach.Busy, Detail: "address already in use"},
		{Endpoint: reach.Endpoint{Proto: "tcp", Addr: netip.MustParseAddrPort("198.51.100.1:1")}, Reason: reach.Silent},
		{Reason: reach.Walled, Wall: &firewall.Wall{Family: "inet", Table: "firewalld", Chain: "filter_FORWARD", Way: firewall.Between}},
		{Reason: reach.Walled, Wall: &firewall.Wall{Family: "inet", Table: "x; reboot", Chain: "input", Way: firewall.ToAPI}},
		{Reason: reach.Walled},
	}}
	var got []string
	for _, problem := range Unreached(c, reports) {
		got = append(got, problem.Error())
	}
	want := []string{
		"m1: cannot listen at 192.0.2.1:6443 (TCP): address already in use; the cluster needs that port",
		"m1: has a firewall (chain filter_FORWARD of table inet firewalld) that drops what pods send to each other; let them pass: " +
			"firewall-cmd --permanent --zone=trusted --add-interface=bridge0; firewall-cmd --permanent --zone=trusted --add-interface=wg0; firewall-cmd --reload",
		"m1: has a firewall that drops what pods send or get, and names that cannot be shown; see `nft list ruleset` there",
		"m1: has a firewall that drops what pods send or get, and names that cannot be shown; see `nft list ruleset` there",
		"m1: cannot reach w1 at 192.0.2.2:51820 (UDP): it is rejected, as by a firewall; open UDP 51820 on w1",
		"w1, w2, w3, w4 and 2 more: cannot reach m1 at 192.0.2.1:6443 (TCP): no answer comes, as when a firewall between them drops it; open TCP 6443 on m1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	for reason, words := range map[reach.Reason]string{
		reach.NoRoute: "its own network has no way there (network is unreachable); give it a route to 192.0.2.1", reach.Stranger: "something else answers there",
	} {
		got := Unreached(c, map[string]reach.Report{"w1": {Failures: []reach.Failure{{Endpoint: api, Reason: reason, Detail: "network is unreachable"}}}})
		if len(got) != 1 || !strings.Contains(got[0].Text, words) {
			t.Errorf("%s: %v", reason, got)
		}
	}
}
