//go:build lab

package probe

import (
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"

	"provision/components/reach"
	"provision/overlay/firewall"
)

// TestAWallIsFoundBeforeThereArePods asks a machine whose firewall accepts by
// policy and rejects in its last rule.
func TestAWallIsFoundBeforeThereArePods(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	ask := reach.Request{Key: key, Dial: []reach.Dial{{
		Endpoint: reach.Endpoint{Proto: "tcp", Addr: netip.MustParseAddrPort("192.0.2.1:10250")}, Pods: netip.MustParsePrefix("10.244.0.0/16"),
	}}}
	walls := func() (found []firewall.Wall) {
		t.Helper()
		report, err := command(t, "reach", strings.NewReader(line(t, ask)))
		if err != nil {
			t.Fatal(err)
		}
		for _, failure := range report.Failures {
			if failure.Reason != reach.Walled || failure.Endpoint != ask.Dial[0].Endpoint {
				t.Errorf("%+v", failure)
			}
			found = append(found, *failure.Wall)
		}
		return found
	}
	if found := walls(); len(found) > 0 {
		t.Errorf("without a firewall: %+v", found)
	}
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader("table inet mine {\nchain in {\ntype filter hook input priority 0; policy accept;\nct state established accept\ntcp dport 22 accept\nreject\n}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []firewall.Wall{{Family: "inet", Table: "mine", Chain: "in", Way: firewall.ToAPI}}
	if d := cmp.Diff(want, walls()); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
}
