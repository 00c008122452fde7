package verify

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"provision/components"
	"provision/components/wire"
)

// Bounds of the look at the wire.
const (
	sniffPatience    = 5 * time.Second // for a machine to look, and again for what it saw
	exchangePatience = 8 * time.Second // for pods to exchange a text
	wirePatience     = 2*sniffPatience + exchangePatience + 2*time.Second
)

// sighting is what the look at the wire found on one machine.
type sighting struct {
	report   wire.Report
	err      error    // it could not look
	partners int      // machines whose pods exchanged the text with this one's
	failed   []string // of its pods' exchanges
	doubtful []string // machines whose pods had no answer from this one's, or another one's
}

// sniffed is one look at the wire of all machines at once, under way or done.
type sniffed struct {
	done chan struct{}
	on   map[string]sighting // to be read when done is closed
}

// sniff has every machine look at its own links, while pods on each pair of
// machines send each other a text that nobody else knows, over TCP and UDP. It
// goes beside the other checks, whose packets are encrypted as well.
func (s *stage) sniff(ctx context.Context) *sniffed {
	look := &sniffed{done: make(chan struct{}), on: map[string]sighting{}}
	go func() {
		defer close(look.done)
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		marker := rand.Text()
		var mu sync.Mutex
		note := func(machine string, change func(*sighting)) {
			mu.Lock()
			defer mu.Unlock()
			seen := look.on[machine]
			change(&seen)
			look.on[machine] = seen
		}
		var looking, ready sync.WaitGroup
		var held []io.Closer
		for _, m := range s.options.Machines {
			if m.Sniff == nil {
				continue
			}
			open, hold := io.Pipe()
			held = append(held, hold)
			ready.Add(1)
			once := sync.OnceFunc(ready.Done)
			time.AfterFunc(sniffPatience, once)
			looking.Go(func() {
				defer once()
				report, err := m.Sniff(ctx, wire.Request{Marker: marker, Port: s.options.Port}, once, open)
				note(m.Name, func(seen *sighting) { seen.report, seen.err = report, err })
			})
		}
		ready.Wait()
		s.exchange(ctx, marker, note)
		for _, hold := range held {
			hold.Close()
		}
		// What pods sent is on the wire; a machine that does not say by now does not at all.
		stop := time.AfterFunc(sniffPatience, func() { cancel(errors.New("it does not say what it saw")) })
		defer stop.Stop()
		looking.Wait()
	}()
	return look
}

// exchange has one pod of each pair send the text, and the other one send it back.
func (s *stage) exchange(ctx context.Context, marker string, note func(machine string, change func(*sighting))) {
	able := func(name string) bool { return s.pods[probeSet][name].ready && s.mute[name] == nil }
	partners := map[string][]string{}
	for i, one := range s.options.Machines {
		for _, other := range s.options.Machines[i+1:] {
			switch {
			case !s.pods[probeSet][one.Name].ready || !s.pods[probeSet][other.Name].ready:
			case able(one.Name):
				partners[one.Name] = append(partners[one.Name], other.Name)
			case able(other.Name):
				partners[other.Name] = append(partners[other.Name], one.Name)
			}
		}
	}
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for from, others := range partners {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var targets []string
			for _, to := range others {
				for _, address := range s.pods[probeSet][to].addresses {
					targets = append(targets, net.JoinHostPort(address, strconv.Itoa(probePort)))
				}
			}
			ctx, cancel := context.WithTimeout(ctx, exchangePatience)
			defer cancel()
			_, err := s.inPod(ctx, s.pods[probeSet][from], "exchange", "--timeout", "5s", "--marker", marker, "--to", strings.Join(targets, ","))
			note(from, func(seen *sighting) {
				seen.partners += len(others)
				if err != nil {
					seen.failed = append(seen.failed, err.Error())
				}
			})
			for _, to := range others {
				note(to, func(seen *sighting) {
					if seen.partners++; err != nil {
						seen.doubtful = append(seen.doubtful, from)
					}
				})
			}
		})
	}
	all.Wait()
}

// encryption says of each machine what was seen on its links.
func (s *stage) encryption() []subject {
	if len(s.options.Machines) < 2 {
		return skipped("there is no other machine: nothing leaves this one")
	}
	var all []subject
	for _, m := range s.options.Machines {
		all = append(all, subject{name: m.Name, patience: wirePatience, try: func(ctx context.Context) (string, error) {
			select {
			case <-s.wire.done:
			case <-ctx.Done():
				return "", errFinal{ctx.Err()}
			}
			if m.Sniff == nil {
				return "", errSkip("the machine cannot be reached, so nobody looks at its links")
			}
			return s.wire.on[m.Name].verdict()
		}})
	}
	return all
}

const misuse = 64 // the exit status of an agent that does not know the command

func (seen sighting) verdict() (string, error) {
	sum := seen.report.Sum()
	var exit *components.ExitError
	switch {
	case errors.As(seen.err, &exit) && exit.Code == misuse:
		return "", errSkip("its agent is too old to look at its links: `provision up` brings a newer one")
	case seen.err != nil:
		return "", errFinal{fmt.Errorf("look at its links: %w", seen.err)}
	case sum.Clear > 0:
		return "", errFinal{fmt.Errorf("%d packets of pods were in clear on %s: anybody on the way could read them", sum.Clear, inClear(seen.report, sum.As))}
	case seen.partners == 0:
		return "", errSkip("no pod here exchanged anything with one on another machine")
	case len(seen.failed) > 0:
		return "", errFinal{fmt.Errorf("what its pod sends does not come back: %s", seen.failed[0])}
	case seen.report.Ended != "":
		return "", errFinal{fmt.Errorf("the look at its links ended early: %s", seen.report.Ended)}
	case sum.WireGuard == 0 && len(seen.doubtful) == seen.partners:
		return "", errSkip("nothing was exchanged: what the pod on " + seen.doubtful[0] + " sends does not come back")
	case sum.WireGuard == 0:
		return "", errFinal{fmt.Errorf("pods exchanged a text, and none of %d packets was of WireGuard: they take a way that is not looked at", sum.Packets)}
	}
	detail := fmt.Sprintf("none of %d packets in clear, %d of WireGuard", sum.Packets, sum.WireGuard)
	if sum.Missed > 0 {
		detail += fmt.Sprintf(", %d more came too fast to be looked at", sum.Missed)
	}
	return detail, nil
}

// inClear names the links where packets were, and their kinds where the agent told.
func inClear(report wire.Report, as wire.Kinds) string {
	var names []string
	for _, l := range report.Links {
		if l.Clear > 0 {
			names = append(names, l.Name)
		}
	}
	on := strings.Join(names, ", ")
	if kinds := as.Names(); len(kinds) > 0 {
		on += " (" + strings.Join(kinds, ", ") + ")"
	}
	return on
}
