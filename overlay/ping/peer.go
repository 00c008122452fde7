package ping

import (
	"slices"
	"time"
)

// peer is what is known of one.
type peer struct {
	pings []sent // the last ones, oldest first
	path  search
}

type sent struct {
	sequence uint32
	at       time.Time
	took     time.Duration // 0: no answer yet
}

// ping notes one that is about to be sent.
func (p *peer) ping(sequence uint32, now time.Time) uint32 {
	if len(p.pings) == remember {
		p.pings = slices.Delete(p.pings, 0, 1)
	}
	p.pings = append(p.pings, sent{sequence: sequence, at: now})
	return sequence
}

func (p *peer) answered(sequence uint32, now time.Time) {
	if sequence == p.path.sequence {
		p.path.arrived = true
		return
	}
	for i, s := range p.pings {
		if s.sequence == sequence && s.took == 0 {
			p.pings[i].took = max(now.Sub(s.at), 1)
		}
	}
}

// heard says that small packets arrive, without which a large one that does not
// means nothing.
func (p *peer) heard(now time.Time, round time.Duration) bool {
	return slices.ContainsFunc(p.pings, func(s sent) bool { return s.took > 0 && now.Sub(s.at) < 3*round })
}

func (p *peer) result(now time.Time, round time.Duration) Result {
	var took []time.Duration
	due, silent := 0, true
	for _, s := range p.pings {
		if s.took > 0 {
			took = append(took, s.took)
			silent = silent && now.Sub(s.at) > max(remember*pause, 3*round)
		} else if now.Sub(s.at) < patience {
			continue
		}
		due++
	}
	r := Result{PathMTU: p.path.found, Silent: due >= 3 && silent}
	if due > 0 {
		r.Loss = float64(due-len(took)) / float64(due)
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.RoundTrip = took[len(took)/2]
	}
	return r
}

// search finds the largest packet that arrives, between one that does and one
// that does not. Its zero value begins.
type search struct {
	found    int // bytes; 0: not known yet
	at       time.Time
	low      int // arrives
	high     int // does not; 0: the first size is still to be tried
	size     int // tried at present; 0: none
	tried    int
	sequence uint32
	arrived  bool
}

// leastMTU is what every link of the internet carries, in bytes.
const leastMTU = 576

// step takes in whether the last packet arrived, and returns the size of the next
// one to try, or 0.
func (s *search) step(mtu int, now time.Time, heard bool) int {
	if mtu <= leastMTU || !heard {
		s.size, s.sequence = 0, 0
		return 0
	}
	if s.size == 0 {
		if s.found > 0 && now.Sub(s.at) < settled {
			return 0
		}
		*s = search{found: s.found, at: s.at, low: leastMTU, size: mtu}
	}
	switch {
	case s.arrived:
		s.low = s.size
		if s.high == 0 {
			return s.end(now)
		}
	case s.tried < tries:
		s.tried++
		return s.size
	default:
		s.high = s.size
	}
	if s.high-s.low <= precision {
		return s.end(now)
	}
	s.size, s.tried, s.arrived = (s.low+s.high)/2, 1, false
	return s.size
}

func (s *search) end(now time.Time) int {
	*s = search{found: s.low, at: now}
	return 0
}
