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

	config, changed := diff(&wgtypes.Device{}, nil, key, overlay.PresharedKey{}, want, nil)
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
	if config, changed := diff(have, devicePeers(have), key, overlay.PresharedKey{}, want, nil); changed {
		t.Errorf("unchanged, and yet: %+v", config)
	}

	have.Peers[0].PublicKey = wgtypes.Key{9}
	config, _ = diff(have, devicePeers(have), key, overlay.PresharedKey{}, want, nil)
	if len(config.Peers) != 2 || !config.Peers[0].Remove || config.Peers[1].Remove || config.PrivateKey != nil || config.ListenPort != nil {
		t.Errorf("another peer: %+v", config)
	}
}

func TestExchangeGivesUp(t *testing.T) {
	d := New()
	d.busy <- struct{}{} // one that never ends
	if _, _, err := d.Sync(overlay.PrivateKey{}, overlay.PresharedKey{}, overlay.Device{}); err == nil {
		t.Error("it waits for a device that hangs")
	}
}

func TestEveryPeerHasThePresharedKey(t *testing.T) {
	key, psk := overlay.NewPrivateKey(), overlay.NewPresharedKey()
	peer := func(n byte) overlay.Peer {
		return overlay.Peer{Key: overlay.Key{n}, Endpoint: netip.MustParseAddrPort("192.0.2.2:51820"), Subnets: []netip.Prefix{}}
	}
	want := overlay.Device{Port: 51820, Peers: []overlay.Peer{peer(1), peer(2), peer(3)}}
	has := func(n byte, psk overlay.PresharedKey) wgtypes.Peer {
		return wgtypes.Peer{PublicKey: wgtypes.Key{n}, PresharedKey: wgtypes.Key(psk), Endpoint: &net.UDPAddr{IP: net.ParseIP("192.0.2.2"), Port: 51820}}
	}
	have := &wgtypes.Device{PrivateKey: wgtypes.Key(key), ListenPort: 51820, Peers: []wgtypes.Peer{has(1, psk), has(2, overlay.PresharedKey{}), has(9, overlay.PresharedKey{})}}

	config, changed := diff(have, devicePeers(have), key, psk, want, nil)
	if !changed || len(config.Peers) != 3 {
		t.Fatalf("%+v", config)
	}
	for _, p := range config.Peers {
		switch given := p.PresharedKey != nil && *p.PresharedKey == wgtypes.Key(psk); p.PublicKey {
		case wgtypes.Key{2}: // there, and without: nothing else of it is touched
			if !given || !p.UpdateOnly || p.Endpoint != nil || p.ReplaceAllowedIPs {
				t.Errorf("%+v", p)
			}
		case wgtypes.Key{3}:
			if !given || p.UpdateOnly {
				t.Errorf("%+v", p)
			}
		case wgtypes.Key{9}:
			if !p.Remove || p.PresharedKey != nil {
				t.Errorf("%+v", p)
			}
		default:
			t.Errorf("the first peer is as it should be, and yet: %+v", p)
		}
	}

	have.Peers = []wgtypes.Peer{has(1, psk), has(2, psk), has(3, psk)}
	if config, changed := diff(have, devicePeers(have), key, psk, want, nil); changed {
		t.Errorf("unchanged, and yet: %+v", config)
	}
	config, _ = diff(have, devicePeers(have), key, overlay.PresharedKey{}, want, nil)
	if len(config.Peers) != 3 || config.Peers[0].PresharedKey == nil || *config.Peers[0].PresharedKey != (wgtypes.Key{}) {
		t.Errorf("the key is not taken away: %+v", config)
	}
}

// An event between a peer's coming and the end of the courtesy must not make the
// agent rest before it has begun the handshake itself.
func TestCourtesyOutlivesAnEvent(t *testing.T) {
	start := time.Unix(1e9, 0)
	peer := overlay.Peer{Key: overlay.Key{1}, Endpoint: netip.MustParseAddrPort("192.0.2.2:51820")}
	want, have := overlay.Device{KeepaliveSeconds: 25, Peers: []overlay.Peer{peer}}, []overlay.DevicePeer(nil)
	var written map[overlay.Key]overlay.Written
	for _, look := range []struct {
		after time.Duration
		waits bool
	}{{0, true}, {overlay.Courtesy / 2, true}, {overlay.Courtesy, false}, {time.Minute, false}} {
		var waits bool
		written, waits = note(written, have, want, start.Add(look.after))
		if waits != look.waits {
			t.Errorf("after %v: looks again soon is %v, want %v", look.after, waits, look.waits)
		}
		have = []overlay.DevicePeer{{Key: peer.Key, Endpoint: peer.Endpoint}}
	}
	if _, waits := note(nil, have, want, start); waits {
		t.Error("a peer that was there before the agent is waited for")
	}
}

// What a device knew of a peer outlives the device.
func TestSeenOutlivesTheDevice(t *testing.T) {
	start := time.Unix(1e9, 0)
	elsewhere := netip.MustParseAddrPort("198.51.100.7:1024")
	peer := overlay.Peer{Key: overlay.Key{1}, Endpoint: netip.MustParseAddrPort("192.0.2.2:51820")}
	want := overlay.Device{Peers: []overlay.Peer{peer}}
	alive := overlay.DevicePeer{Key: peer.Key, Endpoint: elsewhere, Handshake: start}
	begun := overlay.DevicePeer{Key: peer.Key, Endpoint: peer.Endpoint}
	var written map[overlay.Key]overlay.Written
	for i, look := range []struct {
		have []overlay.DevicePeer
		lost int // which look found it lost; -1: it is not
	}{{[]overlay.DevicePeer{alive}, -1}, {nil, 1}, {[]overlay.DevicePeer{begun}, 1}, {[]overlay.DevicePeer{alive}, -1}, {[]overlay.DevicePeer{begun}, 4}} {
		now := start.Add(time.Duration(i) * time.Second)
		written, _ = note(written, look.have, want, now)
		var lost time.Time
		if look.lost >= 0 {
			lost = start.Add(time.Duration(look.lost) * time.Second)
		}
		if w := written[peer.Key]; w.Seen != elsewhere || !w.At.Equal(start) || !w.Lost.Equal(lost) {
			t.Errorf("look %d: seen at %v at %v, lost at %v", i, w.Seen, w.At, w.Lost)
		}
	}
}
