package userspace

import (
	"bufio"
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

// A packet for a peer without a session waits inside the device, in a buffer of
// 64 KiB and for 90 s, up to 16384 packets a peer: a pod that floods machines
// which are off would take all memory there is. So a few packets are let through
// at a time, enough to begin a handshake and to find it done.
const (
	// share is how many packets all silent peers are given together, and
	// everyone at least one, in each term: 64 KiB × share × 90 s / term = 72 MiB.
	share = 64
	term  = device.RekeyTimeout // the next handshake's

	// sessions are looked at this often: at rest, and while there are silent
	// peers, which are to be heard as soon as they are back.
	// Where many are silent it takes longer to look, and is done more seldom.
	glance = time.Second
	stare  = 100 * time.Millisecond
	each   = 3 * time.Millisecond

	// early is how long before its end a session counts as over: until the next
	// look all packets for a machine that died would wait inside. One that lives
	// was renewed a minute ago.
	early = 2 * glance
)

// gate is the TUN as the device reads it.
type gate struct {
	tun.Device
	in, out *window
	silent  atomic.Pointer[[]*silence]
}

// silence is a peer without a session.
type silence struct {
	key     string
	subnets []netip.Prefix
	left    atomic.Int32 // packets of this term
}

// Read leaves out what no session would carry and no share covers.
func (g *gate) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	g.out.enter()
	n, err := g.Device.Read(bufs, sizes, offset)
	silent := g.silent.Load()
	if silent == nil || len(*silent) == 0 {
		g.out.add(n)
		return n, err
	}
	for i := range n {
		if to, ok := destination(bufs[i][offset:][:sizes[i]]); ok && shut(*silent, to) {
			sizes[i] = 0 // the device passes it over
		} else {
			g.out.add(1)
		}
	}
	return n, err
}

func (g *gate) Write(bufs [][]byte, offset int) (int, error) {
	n, err := g.Device.Write(bufs, offset)
	g.in.done(len(bufs))
	return n, err
}

func destination(packet []byte) (netip.Addr, bool) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return netip.AddrFromSlice(packet[16:20])
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return netip.AddrFromSlice(packet[24:40])
	}
	return netip.Addr{}, false
}

func shut(silent []*silence, to netip.Addr) bool {
	for _, s := range silent {
		for _, p := range s.subnets {
			if p.Contains(to) {
				return s.left.Add(-1) < 0
			}
		}
	}
	return false
}

// watch keeps the list of silent peers until the context ends.
func (g *gate) watch(ctx context.Context, dev *device.Device) {
	var refilled time.Time
	for {
		wait := glance
		text, err := dev.IpcGet()
		if err == nil {
			var before []*silence
			if list := g.silent.Load(); list != nil {
				before = *list
			}
			now := time.Now()
			fresh := now.Sub(refilled) >= term
			if fresh {
				refilled = now
			}
			list := listen(text, before, fresh, now)
			g.silent.Store(&list)
			if len(list) > 0 {
				wait = min(max(stare, time.Duration(len(list))*each), glance)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// listen reads from the device's own words who is silent. Who was before keeps
// what is left of its share, unless a new term begins.
func listen(text string, before []*silence, fresh bool, now time.Time) []*silence {
	var list []*silence
	s := &silence{}
	alive := true // what comes before the first peer is none
	end := func() {
		if !alive {
			list = append(list, s)
		}
	}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch key {
		case "public_key":
			end()
			s, alive = &silence{key: value}, true
		case "last_handshake_time_sec":
			seconds, err := strconv.ParseInt(value, 10, 64)
			alive = err == nil && now.Sub(time.Unix(seconds, 0)) < device.RejectAfterTime-early
		case "allowed_ip":
			if p, err := netip.ParsePrefix(value); err == nil {
				s.subnets = append(s.subnets, p)
			}
		}
	}
	end()
	left := map[string]int32{}
	for _, b := range before {
		left[b.key] = b.left.Load()
	}
	for _, s := range list {
		rest, known := left[s.key]
		if fresh || !known {
			rest = int32(max(share/len(list), 1))
		}
		s.left.Store(rest)
	}
	return list
}
