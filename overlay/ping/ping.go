// Package ping measures the tunnel from inside: round trip, loss, and the largest
// packet that arrives, to every peer. It answers peers that measure as well.
//
// It sends a small datagram to each peer in turn and none to anybody else. Whom
// to ask comes from overlay/agent, which shows the results.
package ping

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// pause is the least time from one ping of a peer to the next, and perPeer from
	// one peer's to another's, so that a machine among hundreds spends no more on
	// this than one among ten: it sends 10 questions a second, and answers as many.
	pause     = time.Second
	perPeer   = 100 * time.Millisecond
	remember  = 20          // pings of each peer
	patience  = time.Second // after which a ping counts as lost
	settled   = time.Minute // between two looks at a path that was found
	tries     = 2           // rounds in which one size is tried
	copies    = 2           // of it in a round
	precision = 8           // bytes, of the path MTU where it is less than it should be
)

// Round is the time in which each of so many peers is asked once.
func Round(peers int) time.Duration { return max(pause, time.Duration(peers)*perPeer) }

// Result is what was measured to one peer.
type Result struct {
	RoundTrip time.Duration // the median of the last answers; 0: none came
	Loss      float64       // 0 to 1, of the last pings; 0 before the first
	PathMTU   int           // bytes of the largest packet that arrived; 0: not known yet
	Silent    bool          // no ping of the last 20 s, or of three rounds, was answered, and there were three
}

// Pinger asks and answers. Its zero value is of no use.
type Pinger struct {
	cookie [8]byte // tells our answers from strangers'

	mu       sync.Mutex
	local    netip.AddrPort
	mtu      int // bytes of an IP packet
	conn     *net.UDPConn
	trouble  error // why there is no conn
	peers    map[netip.AddrPort]*peer
	sequence uint32
}

// New returns a pinger that knows nobody yet.
func New() *Pinger {
	p := &Pinger{peers: map[netip.AddrPort]*peer{}}
	rand.Read(p.cookie[:])
	return p
}

// Set says from where to ask, whom, and how large a packet should arrive. It may
// be called at any time; peers that stay keep what was measured.
func (p *Pinger) Set(local netip.AddrPort, mtu int, peers []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if local != p.local {
		p.local = local
		p.close()
	}
	if mtu != p.mtu {
		p.mtu = mtu
		for _, peer := range p.peers {
			peer.path = search{}
		}
	}
	for a := range p.peers {
		if !slices.Contains(peers, a) {
			delete(p.peers, a)
		}
	}
	for _, a := range peers {
		if p.peers[a] == nil {
			p.peers[a] = &peer{}
		}
	}
}

// Results returns what was measured to each peer, and why nothing is.
func (p *Pinger) Results() (map[netip.AddrPort]Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	results := map[netip.AddrPort]Result{}
	for a, peer := range p.peers {
		results[a] = peer.result(time.Now(), Round(len(p.peers)))
	}
	return results, p.trouble
}

// Run asks and answers until the context ends.
func (p *Pinger) Run(ctx context.Context) {
	defer func() { p.mu.Lock(); p.close(); p.mu.Unlock() }()
	for {
		targets := p.begin()
		wait := Round(len(targets))
		for _, a := range targets {
			p.ask(a)
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait / time.Duration(len(targets))):
			}
		}
		if len(targets) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
		}
	}
}

// begin opens the socket where there is none and returns whom to ask.
func (p *Pinger) begin() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil && p.local.IsValid() {
		if p.conn, p.trouble = open(p.local); p.trouble == nil {
			go p.read(p.conn)
		}
	}
	if p.conn == nil {
		return nil
	}
	var list []netip.AddrPort
	for a := range p.peers {
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y netip.AddrPort) int {
		return cmp.Or(x.Addr().Compare(y.Addr()), cmp.Compare(x.Port(), y.Port()))
	})
	return list
}

func (p *Pinger) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// ask sends a peer its ping, and a large packet where its path is looked for.
func (p *Pinger) ask(a netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[a]
	if peer == nil || p.conn == nil {
		return
	}
	now := time.Now()
	p.send(a, peer.ping(p.next(), now), smallest)
	if size := peer.path.step(p.mtu, now, peer.heard(now, Round(len(p.peers)))); size > 0 {
		peer.path.sequence = p.next()
		for range copies {
			p.send(a, peer.path.sequence, size-headers(a.Addr()))
		}
	}
}

func (p *Pinger) next() uint32 {
	p.sequence++
	return p.sequence
}

// send leaves errors to the answer that does not come: there may be no route
// yet, or the packet is larger than the link.
func (p *Pinger) send(a netip.AddrPort, sequence uint32, size int) {
	p.conn.WriteToUDPAddrPort(question(p.cookie, sequence, size), a)
}

// read takes in what comes until the socket is closed.
func (p *Pinger) read(conn *net.UDPConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // what ICMP said of an earlier packet
		}
		p.take(conn, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), buf[:n])
	}
}

func (p *Pinger) take(conn *net.UDPConn, from netip.AddrPort, text []byte) {
	m, ok := parse(text)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := p.peers[from]
	if peer == nil {
		return // nobody of ours
	}
	if m.asks {
		conn.WriteToUDPAddrPort(answer(m), from)
	} else if m.cookie == p.cookie {
		peer.answered(m.sequence, time.Now())
	}
}
