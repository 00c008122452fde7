package device

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"provision/overlay"
)

// patience bounds one exchange with the device: a userspace daemon that was
// stopped accepts a connection and never answers.
const patience = 3 * time.Second

// Device is wg0.
type Device struct {
	written map[overlay.Key]overlay.Written
	busy    chan struct{}
}

// New returns wg0, which need not be there yet.
func New() *Device {
	return &Device{written: map[overlay.Key]overlay.Written{}, busy: make(chan struct{}, 1)}
}

// Sync writes what differs, and returns the peers as they were before. It is to
// be called again after overlay.Courtesy where it says that a peer is new.
func (d *Device) Sync(key overlay.PrivateKey, psk overlay.PresharedKey, want overlay.Device) (peers []overlay.DevicePeer, again bool, err error) {
	// What is returned is written only after the exchange: one that was given up on
	// goes on, and may still hear of peers.
	var heard []overlay.DevicePeer
	var greeted, waits bool
	err = d.exchange(func(client *wgctrl.Client) error {
		have, err := client.Device(overlay.Tunnel)
		if err != nil {
			return err
		}
		heard = devicePeers(have)
		config, changed := diff(have, heard, key, psk, want, d.written)
		if changed {
			if err := client.ConfigureDevice(overlay.Tunnel, config); err != nil {
				return err
			}
		}
		if was := overlay.PrivateKey(have.PrivateKey); was != (overlay.PrivateKey{}) && was != key {
			if err := greet(client, have.Peers); err != nil {
				return err
			}
			greeted = true
		}
		d.written, waits = note(d.written, heard, want, time.Now())
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	return heard, greeted || waits, nil
}

// note returns what is written now and where peers were seen, and whether one is
// so new that the first handshake is left to it.
func note(before map[overlay.Key]overlay.Written, have []overlay.DevicePeer, want overlay.Device, now time.Time) (written map[overlay.Key]overlay.Written, waits bool) {
	written = map[overlay.Key]overlay.Written{}
	for _, p := range want.Peers {
		w := before[p.Key]
		w.Endpoint = p.Endpoint
		i := slices.IndexFunc(have, func(h overlay.DevicePeer) bool { return h.Key == p.Key })
		if i < 0 {
			w.Added = now
		}
		if i >= 0 && !have[i].Handshake.IsZero() {
			w.Seen, w.At, w.Lost = have[i].Endpoint, have[i].Handshake, time.Time{}
		} else if w.Lost.IsZero() {
			w.Lost = now
		}
		waits = waits || now.Sub(w.Added) < overlay.Courtesy
		written[p.Key] = w
	}
	return written, waits
}

// greet begins a handshake with every peer: a new private key ended all sessions,
// and the peers, who do not know, would send into them for 15 seconds. A keepalive
// is sent at once where there was none before.
func greet(client *wgctrl.Client, peers []wgtypes.Peer) error {
	for _, interval := range []time.Duration{0, overlay.DefaultKeepalive * time.Second} {
		var config wgtypes.Config
		for _, p := range peers {
			config.Peers = append(config.Peers, wgtypes.PeerConfig{PublicKey: p.PublicKey, UpdateOnly: true, PersistentKeepaliveInterval: &interval})
		}
		if err := client.ConfigureDevice(overlay.Tunnel, config); err != nil {
			return err
		}
	}
	return nil
}

// exchange runs one exchange with the device, and gives up on it after a while.
// One that never ends keeps its place, so that they do not pile up.
func (d *Device) exchange(f func(*wgctrl.Client) error) error {
	select {
	case d.busy <- struct{}{}:
	default:
		return errors.New("wg0: the wireguard unit still does not answer")
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-d.busy }()
		// A new client each time: it looks for the kernel's WireGuard only when made.
		client, err := wgctrl.New()
		if err == nil {
			err = errors.Join(f(client), client.Close())
		}
		done <- err
	}()
	select {
	case err := <-done:
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("wg0: nobody answers for it: the wireguard unit does not run")
		}
		if err != nil {
			return fmt.Errorf("wg0: %w", err)
		}
		return nil
	case <-time.After(patience):
		return errors.New("wg0: the wireguard unit does not answer")
	}
}

func diff(have *wgtypes.Device, peers []overlay.DevicePeer, key overlay.PrivateKey, psk overlay.PresharedKey, want overlay.Device, written map[overlay.Key]overlay.Written) (config wgtypes.Config, changed bool) {
	if have.PrivateKey != wgtypes.Key(key) {
		private := wgtypes.Key(key)
		config.PrivateKey, changed = &private, true
	}
	if have.ListenPort != want.Port {
		config.ListenPort, changed = &want.Port, true
	}
	for _, c := range overlay.DiffPeers(key.Public(), peers, want, written, time.Now()) {
		p := wgtypes.PeerConfig{PublicKey: wgtypes.Key(c.Key), Remove: c.Remove, UpdateOnly: !c.Add}
		if c.Endpoint.IsValid() {
			p.Endpoint = net.UDPAddrFromAddrPort(c.Endpoint)
		}
		if c.Subnets != nil {
			p.ReplaceAllowedIPs = true
			for _, s := range c.Subnets {
				p.AllowedIPs = append(p.AllowedIPs, net.IPNet{IP: s.Addr().AsSlice(), Mask: net.CIDRMask(s.Bits(), s.Addr().BitLen())})
			}
		}
		if c.KeepaliveSeconds >= 0 {
			interval := time.Duration(c.KeepaliveSeconds) * time.Second
			p.PersistentKeepaliveInterval = &interval
		}
		config.Peers, changed = append(config.Peers, p), true
	}
	config.Peers = share(config.Peers, have.Peers, wgtypes.Key(psk))
	return config, changed || len(config.Peers) > 0
}

// share completes changes so that every peer has the pre-shared key. A session
// that lives goes on: the key counts from the next handshake.
func share(changes []wgtypes.PeerConfig, have []wgtypes.Peer, psk wgtypes.Key) []wgtypes.PeerConfig {
	for i, c := range changes {
		if !c.Remove && !c.UpdateOnly && psk != (wgtypes.Key{}) {
			changes[i].PresharedKey = &psk
		}
	}
	for _, h := range have {
		if h.PresharedKey == psk {
			continue
		}
		i := slices.IndexFunc(changes, func(c wgtypes.PeerConfig) bool { return c.PublicKey == h.PublicKey })
		if i < 0 {
			i = len(changes)
			changes = append(changes, wgtypes.PeerConfig{PublicKey: h.PublicKey, UpdateOnly: true})
		}
		if !changes[i].Remove {
			changes[i].PresharedKey = &psk
		}
	}
	return changes
}

func devicePeers(d *wgtypes.Device) []overlay.DevicePeer {
	var peers []overlay.DevicePeer
	for _, p := range d.Peers {
		peer := overlay.DevicePeer{
			Key:              overlay.Key(p.PublicKey),
			KeepaliveSeconds: int(p.PersistentKeepaliveInterval / time.Second),
			Handshake:        p.LastHandshakeTime,
			Received:         p.ReceiveBytes,
			Sent:             p.TransmitBytes,
		}
		if p.Endpoint != nil {
			e := p.Endpoint.AddrPort()
			peer.Endpoint = netip.AddrPortFrom(e.Addr().Unmap(), e.Port())
		}
		for _, n := range p.AllowedIPs {
			addr, _ := netip.AddrFromSlice(n.IP)
			bits, _ := n.Mask.Size()
			peer.Subnets = append(peer.Subnets, netip.PrefixFrom(addr.Unmap(), bits))
		}
		slices.SortFunc(peer.Subnets, netip.Prefix.Compare)
		peers = append(peers, peer)
	}
	return peers
}
