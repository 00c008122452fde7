package device

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"provision/overlay"
)

func TestDiff(t *testing.T) {
	key := overlay.NewPrivateKey()
	peer := overlay.Peer{Key: overlay.Key{2}, Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), Subnets: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24")}}
	want := overlay.Device{Port: 51820, Peers: []overlay.Peer{peer}}

	config, changed := diff(&wgtypes.Device{}, nil, key, want, nil)
	if !changed || *config.PrivateKey != wgtypes.Key(key) || *config.ListenPort != 51820 || config.ReplacePeers {
		t.Errorf("a new device: %+v", config)
	}
	if p := config.Peers[0]; p.UpdateOnly || p.Endpoint.String() != "192.0.2.2:51820" || p.AllowedIPs[0].String() != "10.244.2.0/24" {
		t.Errorf("a new peer: %+v", p)
	}

	// What the device then says must read as "unchanged". A userspace device
	// gives IPv4 in 16 bytes.
	have := &wgtypes.Device{PrivateKey: wgtypes.Key(key), ListenPort: 51820, Peers: []wgtypes.Peer{{
		PublicKey:         wgtypes.Key(peer.Key),
		Endpoint:          &net.UDPAddr{IP: net.ParseIP("192.0.2.2"), Port: 51820},
		AllowedIPs:        []net.IPNet{{IP: net.ParseIP("10.244.2.0"), Mask: net.CIDRMask(24, 32)}},
		LastHandshakeTime: time.Now(),
	}}}
	if config, changed := diff(have, devicePeers(have), key, want, nil); changed {
		t.Errorf("unchanged, and yet: %+v", config)
	}

	have.Peers[0].PublicKey = wgtypes.Key{9}
	config, _ = diff(have, devicePeers(have), key, want, nil)
	if len(config.Peers) != 2 || !config.Peers[0].Remove || config.Peers[1].Remove || config.PrivateKey != nil || config.ListenPort != nil {
		t.Errorf("another peer: %+v", config)
	}
}

func TestExchangeGivesUp(t *testing.T) {
	d := New()
	d.busy <- struct{}{} // one that never ends
	if _, _, err := d.Sync(overlay.PrivateKey{}, overlay.Device{}); err == nil {
		t.Error("it waits for a device that hangs")
	}
}
