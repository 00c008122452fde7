package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// testNode is machine i of a test: its key, endpoint and subnet follow from i.
func testNode(i int) Node {
	return Node{
		UID: fmt.Sprintf("uid-%d", i), Name: fmt.Sprintf("w%d", i), Created: time.Unix(int64(i), 0),
		PodCIDRs:     []string{fmt.Sprintf("10.244.%d.0/24", i)},
		Announcement: Announcement{1, testKey(i), Key{}, netip.MustParseAddrPort(fmt.Sprintf("192.0.2.%d:51820", i)), Kernel}.Text(),
	}
}

func testKey(i int) Key { return Key{31: byte(i)} }

func testNodes(n int) []Node {
	var list []Node
	for i := 1; i <= n; i++ {
		list = append(list, testNode(i))
	}
	return list
}

func names(m Mesh) string {
	var list []string
	for _, p := range m.Peers {
		list = append(list, fmt.Sprintf("%s=%v", p.Name, p.Subnets[0]))
	}
	return strings.Join(list, " ")
}

func TestAdmit(t *testing.T) {
	const all = "w2=10.244.2.0/24 w3=10.244.3.0/24"
	announce := func(i int, key Key, endpoint string) string {
		return Announcement{1, key, Key{}, netip.MustParseAddrPort(endpoint), Userspace}.Text()
	}
	for _, test := range []struct {
		name   string
		change func([]Node) []Node // of the second look; the first had three machines
		want   string
		refuse string // of a problem; "": none
	}{
		{"nothing", func(n []Node) []Node { return n }, all, ""},
		{"the order of the list", func(n []Node) []Node { slices.Reverse(n); return n }, all, ""},
		{"a newcomer", func(n []Node) []Node { return append(n, testNode(4)) }, all + " w4=10.244.4.0/24", ""},
		{"deleted", func(n []Node) []Node { return n[:2] }, "w2=10.244.2.0/24", ""},
		{"deleted and joined anew", func(n []Node) []Node { n[2].UID = "uid-9"; return n }, all, ""},
		{"its subnet given to a newcomer", func(n []Node) []Node {
			n[2] = testNode(4)
			n[2].PodCIDRs = []string{"10.244.3.0/24"}
			return n
		}, "w2=10.244.2.0/24 w4=10.244.3.0/24", ""},
		{"an empty list", func(n []Node) []Node { return nil }, all, "w1: it is not registered"},
		{"without this machine", func(n []Node) []Node { return n[1:2] }, all, "w1: it is not registered"},
		{"its announcement gone", func(n []Node) []Node { n[1].Announcement = ""; return n }, all, ""},
		{"its subnet gone", func(n []Node) []Node { n[1].PodCIDRs = nil; return n }, all, ""},
		{"an unreadable announcement", func(n []Node) []Node { n[1].Announcement = "{"; return n }, all, "w2: refused: its announcement cannot be read"},
		{"a huge announcement", func(n []Node) []Node { n[1].Announcement = strings.Repeat(" ", 5000) + n[1].Announcement; return n }, all, "5"},
		{"a later version", func(n []Node) []Node { n[1].Announcement = `{"version":2}`; return n }, all, "version 2"},
		{"no key", func(n []Node) []Node { n[1].Announcement = `{"version":1,"endpoint":"192.0.2.2:1"}`; return n }, all, "no public_key"},
		{"a loopback endpoint", func(n []Node) []Node { n[1].Announcement = announce(2, testKey(2), "127.0.0.1:51820"); return n }, all, "no address that a peer can have"},
		{"another's key", func(n []Node) []Node { n[2].Announcement = announce(3, testKey(2), "192.0.2.3:51820"); return n }, all, "w3: refused: it announces the public key of w2"},
		{"another's key as its next", func(n []Node) []Node {
			n[2].Announcement = Announcement{1, testKey(3), testKey(2), netip.MustParseAddrPort("192.0.2.3:51820"), Kernel}.Text()
			return n
		}, all, "w3: refused: it announces the public key of w2"},
		{"another's next key", func(n []Node) []Node {
			n[1].Announcement = Announcement{1, testKey(2), testKey(9), netip.MustParseAddrPort("192.0.2.2:51820"), Kernel}.Text()
			n[2].Announcement = announce(3, testKey(9), "192.0.2.3:51820")
			return n
		}, all, "w3: refused: it announces the public key of w2"},
		{"its own key as its next", func(n []Node) []Node {
			n[2].Announcement = Announcement{1, testKey(3), testKey(3), netip.MustParseAddrPort("192.0.2.3:51820"), Kernel}.Text()
			return n
		}, all, "w3: refused: its next_public_key is the present one"},
		{"our key", func(n []Node) []Node { n[2].Announcement = announce(3, testKey(1), "192.0.2.3:51820"); return n }, all, "this machine's own public key"},
		{"a newcomer with another's key", func(n []Node) []Node {
			thief := testNode(4)
			thief.Created, thief.Announcement = time.Unix(0, 0), n[1].Announcement
			return append([]Node{thief}, n...)
		}, all, "w4: refused: it announces the public key of w2"},
		{"a newcomer in another's subnet", func(n []Node) []Node {
			thief := testNode(4)
			thief.Created, thief.PodCIDRs = time.Unix(0, 0), n[1].PodCIDRs
			return append([]Node{thief}, n...)
		}, all, "w4: refused: its subnet 10.244.2.0/24 overlaps that of w2"},
		{"our subnet", func(n []Node) []Node { n[2].PodCIDRs = n[0].PodCIDRs; return n }, all, "overlaps this machine's"},
		{"outside the range", func(n []Node) []Node { n[2].PodCIDRs = []string{"10.245.3.0/24"}; return n }, all, "outside the cluster's pod range"},
		{"everything", func(n []Node) []Node { n[2].PodCIDRs = []string{"0.0.0.0/0"}; return n }, all, "outside the cluster's pod range"},
		{"the whole range", func(n []Node) []Node { n[2].PodCIDRs = []string{"10.244.0.0/16"}; return n }, all, "is not a /24"},
		{"a narrower one", func(n []Node) []Node { n[2].PodCIDRs = []string{"10.244.3.0/25"}; return n }, all, "is not a /24"},
		{"host bits", func(n []Node) []Node { n[2].PodCIDRs = []string{"10.244.3.1/24"}; return n }, all, "without host bits"},
		{"two subnets", func(n []Node) []Node { n[2].PodCIDRs = []string{"10.244.3.0/24", "10.244.7.0/24"}; return n }, all, "two subnets"},
		{"one UID twice", func(n []Node) []Node { n[2].UID = n[1].UID; return n }, "w2=10.244.2.0/24", "w3: refused: its UID"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := testConfig()
			first, problems := Admit(c, testKey(1), Mesh{}, testNodes(3))
			if names(first) != all || len(problems) != 0 || first.Subnets[0].String() != "10.244.1.0/24" {
				t.Fatalf("at first: %s, %v, %q", names(first), first.Subnets, problems)
			}
			second, problems := Admit(c, testKey(1), first, test.change(testNodes(3)))
			if got := names(second); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if second.Subnets[0] != first.Subnets[0] {
				t.Errorf("its own subnet became %v", second.Subnets)
			}
			if said := strings.Join(problems, "\n"); (said == "") != (test.refuse == "") || !strings.Contains(said, test.refuse) {
				t.Errorf("said %q, want %q", said, test.refuse)
			}
		})
	}
}

func TestAdmitTakesAChangedKey(t *testing.T) {
	c := testConfig()
	mesh, _ := Admit(c, testKey(1), Mesh{}, testNodes(3))
	list := testNodes(3)
	list[1].Announcement = Announcement{1, testKey(77), Key{}, netip.MustParseAddrPort("192.0.2.22:51820"), Kernel}.Text()
	mesh, problems := Admit(c, testKey(1), mesh, list)
	if p := mesh.Peers[0]; p.Key != testKey(77) || p.Endpoint.Addr().String() != "192.0.2.22" || len(problems) != 0 {
		t.Errorf("%+v, %q", p, problems)
	}
}

func TestAdmitDecidesAlikeEverywhere(t *testing.T) {
	// Two newcomers with one key: all machines take the older, in whatever order
	// the API lists them.
	older, younger := testNode(2), testNode(3)
	younger.Announcement = older.Announcement
	for _, list := range [][]Node{{testNode(1), older, younger}, {younger, older, testNode(1)}} {
		mesh, _ := Admit(testConfig(), testKey(1), Mesh{}, list)
		if got := names(mesh); got != "w2=10.244.2.0/24" {
			t.Errorf("got %s", got)
		}
	}
}

func TestAdmitWaitsForASubnet(t *testing.T) {
	own := testNode(1)
	own.PodCIDRs = nil
	mesh, problems := Admit(testConfig(), testKey(1), Mesh{}, []Node{own, testNode(2)})
	if mesh.Subnets != nil || names(mesh) != "w2=10.244.2.0/24" || len(problems) != 0 {
		t.Errorf("%+v, %q", mesh, problems)
	}
}

func FuzzAdmit(f *testing.F) {
	f.Add(testNode(2).Announcement, "10.244.2.0/24", "uid-2")
	f.Add("{}", "fd00::/8", "")
	f.Fuzz(func(t *testing.T, announcement, cidr, uid string) {
		list := []Node{testNode(1), {UID: uid, Name: "hostile", PodCIDRs: []string{cidr}, Announcement: announcement}}
		mesh, _ := Admit(testConfig(), testKey(1), Mesh{}, list)
		for _, p := range mesh.Peers {
			s := p.Subnets[0]
			if len(p.Subnets) != 1 || s.Bits() != 24 || !pods4.Prefix.Contains(s.Addr()) || s.Overlaps(mesh.Subnets[0]) || p.Key == testKey(1) || p.Key == (Key{}) {
				t.Errorf("admitted %+v", p)
			}
		}
	})
}
