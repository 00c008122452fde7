package overlay

import (
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestConflist(t *testing.T) {
	mesh := Mesh{Subnets: []netip.Prefix{netip.MustParsePrefix("10.244.1.0/24"), netip.MustParsePrefix("fd00:244:0:1::/64")}}
	got := Desired(testConfig(), mesh, 1500).CNI.Conflist()
	const golden = "testdata/10-provision.conflist"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Error(d)
	}
	if !json.Valid(got) {
		t.Error("not JSON")
	}
}

func TestStatusForPeople(t *testing.T) {
	now := time.Unix(1e9, 0)
	mesh, _ := Admit(testConfig(), testKey(1), Mesh{}, testNodes(3))
	roamed := netip.MustParseAddrPort("198.51.100.7:1024")
	s := Status{
		Node: "w1", Updated: now.Add(-time.Minute), Mode: Kernel, MTU: 1420, Subnets: mesh.Subnets,
		Peers:    PeerStatuses(mesh, []DevicePeer{{Key: testKey(3), Endpoint: roamed, Handshake: now.Add(-90 * time.Second), Received: 7, Sent: 8}}),
		Problems: []string{"node w9: refused"},
	}
	var b strings.Builder
	if err := s.Print(&b, now); err != nil {
		t.Fatal(err)
	}
	want := `w1: kernel WireGuard, MTU 1420, subnets [10.244.1.0/24], 2 peers
this is 1m0s old: the overlay agent does not run
PEER  ENDPOINT           SUBNETS          HANDSHAKE  RECEIVED  SENT
w2    192.0.2.2:51820    [10.244.2.0/24]  never      0         0
w3    198.51.100.7:1024  [10.244.3.0/24]  1m30s ago  7         8
! node w9: refused
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}
