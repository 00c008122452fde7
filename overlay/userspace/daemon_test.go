package userspace

import (
	"net/netip"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/tuntest"

	"provision/overlay"
)

// A device takes the settings and gives them back.
func TestSettings(t *testing.T) {
	dev := device.NewDevice(tuntest.NewChannelTUN().TUN(), conn.NewDefaultBind(), device.NewLogger(device.LogLevelSilent, ""))
	defer dev.Close()
	text := settings(overlay.NewPrivateKey(), overlay.PresharedKey{1}, overlay.Device{Port: 51820, KeepaliveSeconds: 25, Peers: []overlay.Peer{{
		Key: overlay.Key{2}, Endpoint: netip.MustParseAddrPort("[2001:db8::2]:51820"),
		Subnets: []netip.Prefix{netip.MustParsePrefix("10.244.2.0/24"), netip.MustParsePrefix("fd00:2::/64")},
	}}})
	if err := dev.IpcSet(text); err != nil {
		t.Fatal(err)
	}
	got, err := dev.IpcGet()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if line != "replace_allowed_ips=true" && !strings.Contains(got, line+"\n") {
			t.Errorf("lost %s", line)
		}
	}
}
