// Package userspace is WireGuard for kernels without it: a small, long-lived
// daemon that owns wg0 and nothing else.
//
// It holds the keys and peers that the machine last admitted, so that it carries
// pod traffic from its first moment on; from then on overlay/agent tells it,
// through the socket that wg uses as well. Addresses, routes and MTU are the
// agent's. Stopping the daemon leaves wg0 with all of them.
package userspace

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/vishvananda/netlink"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"

	"provision/overlay"
	"provision/overlay/state"
)

// memoryLimit is what Go's heap is kept below while it can, in bytes, where
// GOMEMLIMIT does not say otherwise: garbage of the device's pools is collected
// before it is that much, and with 96 MiB that is so often that a stream is 15 %
// slower. What waits inside the device is bounded by the gate and the windows.
const memoryLimit = 128 << 20

// Run carries traffic until the context ends, which leaves wg0 in place, or the
// device is gone, which is an error.
func Run(ctx context.Context, config overlay.Config, log *slog.Logger) error {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	dir, err := state.Open(config.StateDir)
	if err != nil {
		return err
	}
	key, err := dir.Key()
	if err != nil {
		return err
	}
	mesh, err := dir.LoadMesh()
	if err != nil {
		// Without it there is less to start with; the agent will tell.
		log.Error("starting without the peers of the last run", "error", err)
		mesh = overlay.Mesh{}
	}
	// What an agent of this boot said last; without it, peers are where they announced.
	if text, err := os.ReadFile(filepath.Join(config.RunDir, overlay.StatusName)); err == nil {
		if last, err := overlay.ParseStatus(text); err == nil {
			mesh = mesh.Seen(last, time.Now())
		}
	}
	psk, err := state.PresharedKey(config.PresharedKeyFile)
	if err != nil {
		return err
	}
	tunnel, err := openTUN(!config.NoOffloads)
	if err != nil {
		return err
	}
	gate := &gate{Device: tunnel, in: newWindow(), out: newWindow()}
	sockets := newBind(!config.NoOffloads, gate.in, gate.out)
	dev := device.NewDevice(gate, sockets, &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { log.Warn(fmt.Sprintf(format, args...)) },
	})
	defer dev.Close()
	if err := dev.IpcSet(settings(key, psk, overlay.Desired(config, mesh, 0).Device)); err != nil {
		return fmt.Errorf("%s: %w", overlay.Tunnel, err)
	}
	go gate.watch(ctx, dev)
	go sockets.watch(ctx, netlink.RouteSubscribe, log)
	listener, err := serve(ctx, dev)
	if err != nil {
		return err
	}
	defer listener.Close()
	if isUp() {
		if err := dev.Up(); err != nil {
			return fmt.Errorf("%s: %w", overlay.Tunnel, err)
		}
		greet(dev, mesh.Peers)
	}
	log.Info("carrying pod traffic", "device", overlay.Tunnel, "port", config.Port, "peers", len(mesh.Peers), "offloads", !config.NoOffloads)
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd cannot be told that this is ready", "error", err)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-dev.Wait():
		return errors.New(overlay.Tunnel + " went away: starting again makes it anew")
	}
}

// greet begins a handshake with every peer. Theirs know sessions that ended with
// the last run, and would send into them for 15 seconds before they wonder.
func greet(dev *device.Device, peers []overlay.Peer) {
	for _, p := range peers {
		if peer := dev.LookupPeer(device.NoisePublicKey(p.Key)); peer != nil {
			peer.SendKeepalive()
		}
	}
}

func serve(ctx context.Context, dev *device.Device) (net.Listener, error) {
	file, err := ipc.UAPIOpen(overlay.Tunnel)
	if err != nil {
		return nil, fmt.Errorf("%s: open its socket: %w", overlay.Tunnel, err)
	}
	listener, err := ipc.UAPIListen(overlay.Tunnel, file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: listen on its socket: %w", overlay.Tunnel, err), file.Close())
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				if ctx.Err() == nil {
					// Somebody removed the socket: nobody can reach this device any more.
					dev.Close()
				}
				return
			}
			go dev.IpcHandle(c)
		}
	}()
	return listener, nil
}

// settings is the text that the device's socket takes as well.
func settings(key overlay.PrivateKey, psk overlay.PresharedKey, d overlay.Device) string {
	var b strings.Builder
	fmt.Fprintf(&b, "private_key=%s\nlisten_port=%d\n", hex.EncodeToString(key[:]), d.Port)
	for _, p := range d.Peers {
		fmt.Fprintf(&b, "public_key=%s\nendpoint=%v\npersistent_keepalive_interval=%d\nreplace_allowed_ips=true\n",
			hex.EncodeToString(p.Key[:]), p.Endpoint, d.KeepaliveSeconds)
		for _, s := range p.Subnets {
			fmt.Fprintf(&b, "allowed_ip=%v\n", s)
		}
		if psk != (overlay.PresharedKey{}) {
			fmt.Fprintf(&b, "preshared_key=%s\n", hex.EncodeToString(psk[:]))
		}
	}
	return b.String()
}
