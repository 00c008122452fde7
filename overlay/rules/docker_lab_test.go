//go:build lab

package rules

import (
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

// TestDockersChain lets pods through docker's own chain and takes that back, in a
// namespace of its own.
func TestDockersChain(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	nft := func(argv ...string) string {
		t.Helper()
		out, err := exec.Command("nft", argv...).CombinedOutput()
		if err != nil {
			t.Fatalf("nft %s: %v: %s", strings.Join(argv, " "), err, out)
		}
		return string(out)
	}
	if written, err := AdmitDocker(); written || err != nil {
		t.Fatalf("without docker: %v, %v", written, err)
	}
	nft("add table ip filter")
	nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
	if walls := strangers(t); len(walls) != 1 {
		t.Errorf("a chain that drops: %q", said(walls))
	}
	nft("add chain ip filter DOCKER-USER")
	nft("add rule ip filter FORWARD jump DOCKER-USER")
	nft("add rule ip filter DOCKER-USER counter return")
	before := nft("list ruleset")
	if written, err := AdmitDocker(); !written || err != nil {
		t.Fatalf("%v, %v", written, err)
	}
	if written, err := AdmitDocker(); written || err != nil {
		t.Errorf("the second time: %v, %v", written, err)
	}
	chain := nft("list chain ip filter DOCKER-USER")
	in, out, end := strings.Index(chain, `iifname "bridge0"`), strings.Index(chain, `oifname "bridge0"`), strings.Index(chain, "return")
	if in < 0 || out < 0 || end < max(in, out) || strings.Count(chain, `"wg0"`) != 2 {
		t.Errorf("docker's chain is\n%s", chain)
	}
	if walls := strangers(t); len(walls) != 0 {
		t.Errorf("with our rules in it: %q", said(walls))
	}
	if removed, err := WithdrawDocker(); !removed || err != nil {
		t.Errorf("%v, %v", removed, err)
	}
	if after := nft("list ruleset"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}
