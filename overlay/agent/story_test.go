//go:build lab

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"provision/overlay"
)

// narrow makes the way to the second machine carry less than its route says.
func narrow(t *testing.T, machines []*machine) {
	a, b, c := machines[0], machines[1], machines[2]
	eventually(t, "measured", 20*time.Second, func() bool {
		return !slices.ContainsFunc(a.status().Peers, func(p overlay.PeerStatus) bool { return p.RoundTripMS == 0 || p.PathMTU != 1420 })
	})
	scraped, err := in(c.pod, "get", "http://10.244.1.1:51821/metrics") // from another machine's pod
	if err != nil || !strings.Contains(scraped, `provision_overlay_peer_path_mtu_bytes{peer="ovlab2"} 1420`) {
		t.Errorf("%v: %s", err, scraped)
	}
	ip(t, underlay, "link set to-"+b.name+" mtu 1400") // drops what is larger, and says nothing
	defer ip(t, underlay, "link set to-"+b.name+" mtu 1500")
	a.agent.end(syscall.SIGKILL)
	a.agent = a.start("overlay") // measures at once, not within a minute
	eventually(t, "named", 40*time.Second, func() bool {
		return strings.Contains(strings.Join(a.status().Problems, "\n"), "packets of 1420 bytes do not arrive at "+b.name)
	})
	for _, p := range a.status().Peers {
		// WireGuard adds 60 bytes to an IPv4 packet, and fills to 16.
		if want := 1340; p.Name == b.name && (p.PathMTU > want || p.PathMTU < want-24) {
			t.Errorf("path MTU to %s is %d, want about %d", p.Name, p.PathMTU, want)
		}
	}
}

// rotation changes the first machine's key while pods speak.
func rotation(t *testing.T, machines []*machine) {
	a, b, c := machines[0], machines[1], machines[2]
	old := a.status().PublicKey
	for range 2 { // twice says the same
		if out, err := in(a.name, "overlay", "rotate", "prepare", "--config", a.dir+"/overlay.json"); err != nil {
			t.Fatal(out)
		}
	}
	if out, err := in(a.name, "overlay", "rotate", "commit", "--config", a.dir+"/overlay.json"); err == nil {
		t.Fatalf("committed a key that nobody knows: %s", out)
	}
	eventually(t, "announced", 5*time.Second, func() bool {
		data, _ := os.ReadFile(filepath.Join(a.config.RunDir, "announcement.json"))
		return strings.Contains(string(data), "next_public_key")
	})
	introduce(t, machines)
	for _, m := range []*machine{b, c} {
		eventually(t, m.name+" knows the next key", 5*time.Second, func() bool {
			return slices.ContainsFunc(m.status().Peers, func(p overlay.PeerStatus) bool { return p.Name == a.name && p.NextKey != overlay.Key{} })
		})
	}
	eventually(t, "agreed", 10*time.Second, func() bool { return a.status().Announced })
	stream := b.background(b.pod, "stream", a.podAddress+":8080", "8s")
	watch := a.background(a.pod, "gap", b.podAddress+":8080", "6s")
	time.Sleep(time.Second)
	if out, err := in(a.name, "overlay", "rotate", "commit", "--config", a.dir+"/overlay.json"); err != nil {
		t.Fatal(out)
	}
	// The file of nodes still says the old key: the handshake tells the others.
	<-watch.done
	var lost, longest int
	if n, err := fmt.Sscan(watch.log.String(), &lost, &longest); n != 2 {
		t.Fatal(err)
	}
	t.Logf("lost %d, longest gap %d ms", lost, longest)
	if longest > 3000 {
		t.Errorf("longest gap %d ms", longest)
	}
	if s := a.status(); s.PublicKey == old || s.NextKey != (overlay.Key{}) {
		t.Errorf("its key is %v and then %v", s.PublicKey, s.NextKey)
	}
	introduce(t, machines)
	<-stream.done
	if out := stream.log.String(); strings.Contains(out, "stream:") {
		t.Errorf("a connection was lost: %s", out)
	}
	for _, m := range []*machine{b, c} {
		eventually(t, m.name+" forgot the old key", 6*time.Second, func() bool {
			p := m.status().Peers[0]
			return p.Key == a.status().PublicKey && p.NextKey == overlay.Key{}
		})
		if out, err := in(m.pod, "call", a.podAddress+":8080"); err != nil {
			t.Errorf("%s: %s", m.name, out)
		}
	}
}
