package balancer

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// pool is the servers, what is known of their health, and the connections that
// each of them carries.
type pool struct {
	log     *slog.Logger
	mu      sync.Mutex
	servers []*server
	turn    int           // where the next choice among equals begins
	changed chan struct{} // closed, and replaced, when a server's health changes
}

// server is one API server.
type server struct {
	address netip.AddrPort
	// ready: it answers and says that it serves. alive: it answers. One that is
	// alive but not ready (starting, stopping, without etcd) gets no new
	// connection, but those it has go on: its own stop says goodbye to them.
	ready, alive bool
	// slow: it was ready, and since then has taken connections without answering
	// on them. Where no other is ready it gets them all the same.
	slow     bool
	failures int // looks in a row that got no answer
	refusals int // looks in a row that were refused
	active   int // connections, those being dialed included
	links    map[*link]struct{}
	stop     func() // ends its checker
}

// link is one client's connection and its server's.
type link struct {
	client, upstream *net.TCPConn
}

func (l *link) close() {
	l.client.Close()
	l.upstream.Close()
}

func newPool(log *slog.Logger) *pool {
	return &pool{log: log, changed: make(chan struct{})}
}

// verdict is what one look at a server found.
type verdict int

const (
	serving  verdict = iota // it answered and is ready
	waiting                 // it answered and is not
	late                    // it took the connection, and did not answer in time
	silent                  // no connection in time, or not to a server of ours
	refusing                // its machine says that nothing listens there
)

// patience is how many looks in a row must go without an answer before a server
// counts as dead: one lost packet or one slow moment does not end connections.
const patience = 2

// draining is how many looks in a row a server may refuse before its connections are
// closed: one that stops takes none any more, answers what it was asked, and closes them
// itself. Where its process is gone, its machine has closed them.
const draining = 10

// report takes in what a look found. why is for the log.
func (p *pool) report(s *server, found verdict, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasReady, wasAlive := s.ready, s.alive
	if found == refusing {
		s.refusals++
	} else {
		s.refusals = 0
	}
	switch found {
	case serving:
		s.ready, s.alive, s.slow, s.failures = true, true, false, 0
	case waiting:
		s.ready, s.alive, s.slow, s.failures = false, true, false, 0
	case refusing:
		s.ready, s.alive, s.slow = false, false, false
	case late, silent:
		if s.failures++; s.failures >= patience {
			s.slow = found == late && (s.ready || s.slow)
			s.ready, s.alive = false, false
		}
	}
	if s.ready != wasReady || s.alive != wasAlive {
		switch {
		case s.ready:
			p.log.Info("server is ready", "server", s.address)
		case s.alive:
			p.log.Warn("server is not ready", "server", s.address, "why", why)
		default:
			p.log.Warn("server is gone", "server", s.address, "why", why, "connections", len(s.links))
		}
		close(p.changed)
		p.changed = make(chan struct{})
	}
	p.settle()
}

// settle closes the connections of dead servers, so that their clients come
// back at once and find another, rather than wait for a reply that will not
// come. Where there is no other, they stay: silence may end. One that refuses is given
// the time to end them itself.
func (p *pool) settle() {
	ready := false
	for _, s := range p.servers {
		ready = ready || s.ready
	}
	if !ready {
		return
	}
	for _, s := range p.servers {
		if s.alive || 0 < s.refusals && s.refusals < draining {
			continue
		}
		for l := range s.links {
			l.close()
		}
	}
}

// choose returns the ready server with the fewest connections that was not
// tried yet and counts one more for it, or nil and a channel that is closed
// when a server's health changes. Where there is none it takes one that is only
// slow: a lone master under load is parked for nobody, its listener decides.
// desperate takes one that is merely alive.
func (p *pool) choose(tried map[*server]bool, desperate bool) (*server, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	best := p.least(func(s *server) bool { return !tried[s] && (s.ready || desperate && s.alive) })
	if best == nil {
		best = p.least(func(s *server) bool { return !tried[s] && s.slow })
	}
	if best == nil {
		return nil, p.changed
	}
	p.turn++
	best.active++
	return best, nil
}

// least returns the usable server with the fewest connections. The pool is locked.
func (p *pool) least(usable func(*server) bool) (best *server) {
	for i := range p.servers {
		s := p.servers[(p.turn+i)%len(p.servers)]
		if usable(s) && (best == nil || s.active < best.active) {
			best = s
		}
	}
	return best
}

// release takes back what choose counted.
func (p *pool) release(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.active--
}

// serves says whether one of these servers is ready.
func (p *pool) serves(addresses []netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.servers, func(s *server) bool { return s.ready && slices.Contains(addresses, s.address) })
}

// join notes a connection of a server, and leave forgets it. Where the server
// was dropped meanwhile, join says no.
func (p *pool) join(s *server, l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.links == nil {
		return false
	}
	s.links[l] = struct{}{}
	return true
}

func (p *pool) leave(s *server, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(s.links, l)
}

// set makes the pool hold these servers: known ones stay as they are, new ones
// begin as dead and are watched by what watch starts, and those no longer named
// lose their connections. afresh has the known ones watched anew as well.
func (p *pool) set(addresses []netip.AddrPort, afresh bool, watch func(*server) (stop func())) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := map[netip.AddrPort]*server{}
	for _, s := range p.servers {
		known[s.address] = s
	}
	p.servers = nil
	for _, address := range addresses {
		s := known[address]
		delete(known, address)
		switch {
		case s == nil:
			s = &server{address: address, links: map[*link]struct{}{}}
			s.stop = watch(s)
		case afresh:
			s.stop()
			s.stop = watch(s)
		}
		p.servers = append(p.servers, s)
	}
	for _, s := range known {
		s.drop()
	}
	p.turn = 0
}

// drop ends a server's checker and connections. The pool is locked.
func (s *server) drop() {
	s.stop()
	s.ready, s.alive, s.slow = false, false, false
	for l := range s.links {
		l.close()
	}
	s.links = nil
}
