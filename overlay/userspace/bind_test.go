package userspace

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// opened is a bind on a free port, and what it receives.
func opened(t *testing.T, offloads bool) (b *bind, port uint16, receive []conn.ReceiveFunc) {
	t.Helper()
	b = newBind(offloads, newWindow(), newWindow())
	receive, port, err := b.Open(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, port, receive
}

// buffers are as the device has them.
func buffers() (bufs [][]byte, sizes []int, endpoints []conn.Endpoint) {
	for range conn.IdealBatchSize {
		bufs = append(bufs, make([]byte, 1<<16-1))
	}
	return bufs, make([]int, len(bufs)), make([]conn.Endpoint, len(bufs))
}

// packetsOf returns packets of these lengths with numbers in them.
func packetsOf(lengths ...int) (list [][]byte) {
	for i, n := range lengths {
		p := bytes.Repeat([]byte{byte(i)}, n)
		binary.LittleEndian.PutUint32(p, device.MessageTransportType)
		list = append(list, p)
	}
	return list
}

func of(n, length int) (list []int) {
	for range n {
		list = append(list, length)
	}
	return list
}

// What one bind sends arrives at another, packet by packet and in order, however
// the kernel joins and cuts it, and the answer finds its way.
func TestBind(t *testing.T) {
	random := make([]int, 128)
	for i := range random {
		random[i] = 32 + rand.IntN(1420)
	}
	batches := map[string][][]int{
		"one":               {{148}},
		"a segment's":       {of(46, 1452), of(46, 1452), append(of(45, 1452), 90)},
		"a full batch":      {of(128, 1452), of(128, 1452)},
		"small after large": {of(40, 1452), of(60, 96), of(40, 1452), of(60, 96)},
		"large after small": {of(64, 60), of(44, 1452), of(20, 1500)},
		"of all lengths":    {random, random},
		"growing":           {{100, 200, 300, 300, 299, 300}},
		"large ones":        {{9000, 9000, 9000, 9000, 9000, 9000, 9000, 9000, 40}, {65000}, {65507}},
	}
	for _, offloads := range []bool{true, false} {
		for _, address := range []string{"127.0.0.1", "::1"} {
			for name, list := range batches {
				t.Run(fmt.Sprintf("%s/%s/offloads %v", name, address, offloads), func(t *testing.T) {
					from, _, answers := opened(t, offloads)
					to, port, receive := opened(t, offloads)
					family := 0
					if address == "::1" {
						family = 1
					}
					if len(receive) < 2 && family == 1 {
						t.Fatal("the kernel has no IPv6")
					}
					target, err := from.ParseEndpoint(netip.AddrPortFrom(netip.MustParseAddr(address), port).String())
					if err != nil {
						t.Fatal(err)
					}
					var back conn.Endpoint
					for _, lengths := range list {
						sent := packetsOf(lengths...)
						if err := from.Send(packetsOf(lengths...), target); err != nil {
							t.Fatal(err)
						}
						back = expect(t, receive[family], sent)
					}
					if back.SrcIP() != netip.MustParseAddr(address) {
						t.Errorf("it came to %v, and the bind says %v", address, back.SrcIP())
					}
					if err := to.Send(packetsOf(1452), back); err != nil {
						t.Fatal(err)
					}
					if e := expect(t, answers[family], packetsOf(1452)); e.DstToString() != target.DstToString() {
						t.Errorf("the answer is from %s, want %s", e.DstToString(), target.DstToString())
					}
				})
			}
		}
	}
}

// expect receives packets, and returns where the last was from.
func expect(t *testing.T, receive conn.ReceiveFunc, want [][]byte) (from conn.Endpoint) {
	t.Helper()
	bufs, sizes, endpoints := buffers()
	for len(want) > 0 {
		n, err := receive(bufs, sizes, endpoints)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if sizes[i] == 0 {
				continue
			}
			if len(want) == 0 {
				t.Fatal("more packets than were sent")
			}
			if !bytes.Equal(bufs[i][:sizes[i]], want[0]) {
				t.Fatalf("%d packets before the end: %d bytes of %x, want %d of %x", len(want), sizes[i], bufs[i][:8], len(want[0]), want[0][:8])
			}
			want, from = want[1:], endpoints[i]
		}
	}
	return from
}

// refusing is a kernel that does not cut messages.
type refusing struct {
	why  error
	sent int
}

func (*refusing) ReadBatch([]ipv6.Message, int) (int, error) { return 0, net.ErrClosed }

func (r *refusing) WriteBatch(list []ipv6.Message, _ int) (int, error) {
	if len(list[0].Buffers) > 1 {
		return 0, &net.OpError{Op: "write", Err: os.NewSyscallError("sendmmsg", r.why)}
	}
	r.sent++
	return 1, nil
}

// What the kernel does not cut goes packet by packet: this time, where an MTU on
// the way has shrunk, which has had two errors; from then on, where a link cannot.
func TestWhatIsNotCut(t *testing.T) {
	for why, again := range map[syscall.Errno]bool{unix.EINVAL: true, unix.EMSGSIZE: true, unix.EIO: false} {
		b, _, _ := opened(t, true)
		s, kernel := b.sockets[0], &refusing{why: why}
		s.messages = kernel
		s.segments.Store(true)
		to, _ := b.ParseEndpoint("127.0.0.1:9")
		if err := b.Send(packetsOf(of(3, 1452)...), to); err != nil || kernel.sent != 3 || s.segments.Load() != again {
			t.Errorf("%v: %d of 3 packets went, the kernel is asked again: %v, error %v", why, kernel.sent, s.segments.Load(), err)
		}
	}
}

// A bind that was closed ends its readers with the error that the device expects,
// and opens again.
func TestBindCloses(t *testing.T) {
	b, port, receive := opened(t, true)
	if _, _, err := b.Open(port); !errors.Is(err, conn.ErrBindAlreadyOpen) {
		t.Errorf("opened twice: %v", err)
	}
	ended := make(chan error)
	go func() {
		bufs, sizes, endpoints := buffers()
		_, err := receive[0](bufs, sizes, endpoints)
		ended <- err
	}()
	time.Sleep(10 * time.Millisecond)
	b.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a reader ends with %v", err)
	}
	if _, again, err := b.Open(port); err != nil || again != port {
		t.Errorf("opened again on %d: %v", again, err)
	}
	other := newBind(true, newWindow(), newWindow())
	if _, _, err := other.Open(port); err == nil {
		t.Error("two binds on one port")
	}
}

// An answer goes out from where the question came in, until the routes change or
// the device says that it leads nowhere. Who asks the same way again is not a new
// endpoint.
func TestEndpointForgets(t *testing.T) {
	from, _, _ := opened(t, true)
	to, port, receive := opened(t, true)
	target, _ := from.ParseEndpoint(fmt.Sprintf("127.0.0.1:%d", port))
	get := func() *endpoint {
		if err := from.Send(packetsOf(100), target); err != nil {
			t.Fatal(err)
		}
		return expect(t, receive[0], packetsOf(100)).(*endpoint)
	}
	first := get()
	if first.from(to.routes.Load()) == nil {
		t.Error("it is not known where the question came in")
	}
	if get() != first {
		t.Error("the same peer is another endpoint")
	}
	to.routes.Add(1)
	if first.from(to.routes.Load()) != nil {
		t.Error("routes changed, and the source is kept")
	}
	second := get()
	if second.from(to.routes.Load()) == nil {
		t.Error("what came after the change has no source")
	}
	second.ClearSrc()
	if second.from(to.routes.Load()) != nil || second.SrcIP().IsValid() {
		t.Error("a source that was cleared is kept")
	}
	if get() == second {
		t.Error("what came later is without a source as well")
	}
	if err := to.Send(packetsOf(100), second); err != nil {
		t.Errorf("without a source: %v", err)
	}
}

// Packets that the device leaves where they are, which are of no session, take no
// place in the window; those that it takes do.
func TestStrangersTakeNoPlace(t *testing.T) {
	for _, taken := range []bool{false, true} {
		from, _, _ := opened(t, true)
		to, port, receive := opened(t, true)
		target, _ := from.ParseEndpoint(fmt.Sprintf("127.0.0.1:%d", port))
		bufs, sizes, endpoints := buffers()
		const batch, batches = 100, 4
		for range batches {
			if err := from.Send(packetsOf(of(batch, 148)...), target); err != nil {
				t.Fatal(err)
			}
			for got := 0; got < batch; {
				n, err := receive[0](bufs, sizes, endpoints)
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					if sizes[i] == 0 {
						continue
					}
					got++
					if taken {
						bufs[i] = make([]byte, 1<<16-1)
					}
				}
			}
		}
		inside := to.in.inside.Load()
		if taken && inside != batch*batches || !taken && inside > batch {
			t.Errorf("taken %v: %d of %d packets are inside", taken, inside, batch*batches)
		}
	}
}

// A subscription to routes that ends, as one does that is not read in time, is
// made again, and what was missed meanwhile counts as a change.
func TestRoutesAreFollowedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b, asked := newBind(false, newWindow(), newWindow()), 0
		go b.watch(ctx, func(changes chan<- netlink.RouteUpdate, done <-chan struct{}) error {
			asked++
			switch asked {
			case 1:
				close(changes)
			case 2:
				return errors.New("no buffer space available")
			default:
				go func() { <-done; close(changes) }()
			}
			return nil
		}, slog.New(slog.DiscardHandler))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := b.routes.Load(); asked != 3 || n != 2 {
			t.Errorf("asked %d times, and sources were forgotten %d times", asked, n)
		}
		cancel()
		synctest.Wait()
	})
}

// A message whose packets are as long as was expected is not moved, one of others
// is, and either way nothing is lost.
func TestSplit(t *testing.T) {
	r := &reader{socket: &socket{}, size: 10, joined: make([]byte, 1<<16), parts: [][][]byte{make([][]byte, segmentsMost+1)}}
	r.parts[0][segmentsMost] = make([]byte, 1<<16)
	for _, c := range []struct{ size, total, segment, next int }{
		{10, 640, 10, 10},
		{10, 95, 10, 10},
		{10, 7, 0, 10},
		{10, 70, 7, 10},   // smaller ones for once
		{10, 700, 0, 700}, // one that is longer
		{700, 1300, 650, 700},
		{0, 1300, 650, 700}, // not expected
		{0, 0, 0, 700},
	} {
		bufs, sizes, _ := buffers()
		message := bytes.Repeat([]byte("0123456789abc"), 1+c.total/13)[:c.total]
		parts, rest := r.lay(0, bufs, c.size), message
		for _, p := range parts {
			rest = rest[copy(p, rest):]
		}
		n := r.split(parts, bufs[:segmentsMost], sizes, c.total, c.segment)
		var got []byte
		for i := range n {
			if c.segment > 0 && i < n-1 && sizes[i] != c.segment {
				t.Errorf("%+v: packet %d has %d bytes", c, i, sizes[i])
			}
			got = append(got, bufs[i][:sizes[i]]...)
		}
		if !bytes.Equal(got, message) || r.size != c.next {
			t.Errorf("%+v: %d packets, %d of %d bytes, and %d expected next", c, n, len(got), c.total, r.size)
		}
	}
}

// What is joined are runs of one length; a packet that is alone of its length is
// sent alone.
func TestGroup(t *testing.T) {
	for _, c := range []struct {
		lengths []int
		most    int
		want    string // packets of each message
	}{
		{[]int{1452, 1452, 1452, 90}, 64, "[4]"},
		{[]int{1452, 1452, 90, 90, 90}, 64, "[3 2]"},
		{[]int{1405, 90}, 64, "[1 1]"},
		{[]int{90, 1452, 1452}, 64, "[1 2]"},
		{[]int{1452, 1452, 1452}, 1, "[1 1 1]"},
		{of(130, 100)[:128], 64, "[64 64]"},
		{of(9, 9000), 64, "[7 2]"}, // 64 KiB
		{append(of(45, 1452), 1000), 64, "[45 1]"},
		{append(of(63, 100), 90, 80), 64, "[64 1]"},
	} {
		list := make([]ipv6.Message, conn.IdealBatchSize)
		var got []int
		for _, m := range list[:group(packetsOf(c.lengths...), list, &net.UDPAddr{}, nil, c.most)] {
			got = append(got, len(m.Buffers))
			if segmented := len(m.OOB) > 0; segmented != (len(m.Buffers) > 1) {
				t.Errorf("%v: a message of %d packets says %v", c.lengths, len(m.Buffers), m.OOB)
			}
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%v: %v, want %s", c.lengths, got, c.want)
		}
	}
}
