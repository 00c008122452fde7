//go:build lab

package rules

import (
	"flag"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netns"

	"provision/overlay"
)

var update = flag.Bool("update", false, "rewrite testdata")

// inNamespace moves the test to a network namespace of its own, with its thread:
// it ends with the test's goroutine, and the namespace with it.
func inNamespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
}

func nft(t *testing.T, arguments string) string {
	t.Helper()
	out, err := exec.Command("nft", arguments).CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", arguments, err, out)
	}
	return string(out)
}

func TestTable(t *testing.T) {
	inNamespace(t)
	want := overlay.Rules{Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00:244::/56")}, MTU: 1420}
	ensure := func(what string, expect bool) {
		t.Helper()
		if written, err := Ensure(want); err != nil || written != expect {
			t.Errorf("%s: written %v, %v", what, written, err)
		}
	}
	ensure("at first", true)
	got := nft(t, "list table inet "+Table)
	const golden = "testdata/table.nft"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(file), got); d != "" {
		t.Error(d)
	}
	ensure("again", false)
	for _, change := range []string{
		"delete table inet " + Table,
		"flush chain inet " + Table + " leak",
		"insert rule inet " + Table + " leak accept",
		"flush table inet " + Table,
		"chain inet " + Table + " forward { policy drop; }",
	} {
		nft(t, change)
		ensure(change, true)
		if d := cmp.Diff(got, nft(t, "list table inet "+Table)); d != "" {
			t.Errorf("%s: %s", change, d)
		}
	}
	want.MTU = 1380
	ensure("another MTU", true)

	// Others' rules in the place that is theirs outlive everything but the table.
	for _, command := range []string{
		"add set inet " + Table + " network-policy-pods { type ipv4_addr; elements = { 10.244.1.9 } }",
		"add chain inet " + Table + " network-policy-web",
		"add rule inet " + Table + " network-policy-web tcp dport 80 accept",
		"add rule inet " + Table + " network-policy ip daddr @network-policy-pods jump network-policy-web",
		"add rule inet " + Table + " network-policy ip daddr @network-policy-pods drop",
	} {
		nft(t, command)
	}
	theirs := func() (text string) {
		for _, piece := range []string{"chain inet " + Table + " network-policy", "chain inet " + Table + " network-policy-web", "set inet " + Table + " network-policy-pods"} {
			text += nft(t, "list "+piece)
		}
		return text
	}
	before := theirs()
	ensure("with policies", false)
	for _, changes := range [][]string{
		{"flush chain inet " + Table + " forward"},
		{"flush chain inet " + Table + " leak"},
		{"delete chain inet " + Table + " spoof", "add chain inet " + Table + " spoof"},
		// One that another version made goes with the next writing.
		{"add chain inet " + Table + " older { type filter hook forward priority 0; policy drop; }", "flush chain inet " + Table + " leave"},
	} {
		for _, change := range changes {
			nft(t, change)
		}
		ensure(changes[0], true)
		if d := cmp.Diff(before, theirs()); d != "" {
			t.Errorf("%s: %s", changes[0], d)
		}
	}
	if all := nft(t, "list table inet "+Table); strings.Contains(all, "older") || strings.Count(all, "jump network-policy\n") != 1 {
		t.Errorf("it has %s", all)
	}

	nft(t, "add table ip stranger")
	for _, there := range []bool{true, false} {
		if removed, err := Remove(); err != nil || removed != there {
			t.Errorf("removed %v, %v", removed, err)
		}
	}
	if left := nft(t, "list tables"); strings.TrimSpace(left) != "table ip stranger" {
		t.Errorf("left: %s", left)
	}
}
