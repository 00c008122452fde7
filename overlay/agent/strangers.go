package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"provision/overlay/rules"
)

// Between two looks at other people's firewalls, whose rules are many: at rest,
// and where one of them changes.
const (
	lookAgain = time.Minute
	lookSoon  = 2 * time.Second
)

// lookAround looks for what we cannot overrule.
func (a *agent) lookAround() []string {
	if since := time.Since(a.looked); since < lookSoon || since < lookAgain && !a.stirred {
		return a.strangers
	}
	a.looked, a.stirred = time.Now(), false
	a.strangers = nil
	var pods []netip.Prefix
	for _, r := range a.config.Pods {
		pods = append(pods, r.Prefix)
	}
	walls, err := rules.Strangers(pods, a.config.Address)
	for _, w := range walls {
		a.strangers = append(a.strangers, fmt.Sprintf("a firewall (%s) drops %s; let them pass: %s", w.Place(), w.Drops(), w.Remedy()))
	}
	if err != nil {
		a.strangers = append(a.strangers, err.Error())
	}
	return a.strangers
}

// Routes that are laid over ours this often in the time are somebody's who does
// not give up.
const (
	stubborn = 3
	within   = time.Minute
)

// unlaid notes routes of others that were removed, and returns what to say of
// those that come back.
func (a *agent) unlaid(removed []string, now time.Time) (problems []string) {
	if a.laid == nil {
		a.laid = map[string][]time.Time{}
	}
	for _, r := range removed {
		a.log.Warn("removed a route that is not ours and took packets from pods", "route", r)
		a.laid[r] = append(a.laid[r], now)
	}
	for r, at := range a.laid {
		at = slices.DeleteFunc(at, func(t time.Time) bool { return now.Sub(t) > within })
		if a.laid[r] = at; len(at) == 0 {
			delete(a.laid, r)
		}
		if len(at) >= stubborn {
			problems = append(problems, fmt.Sprintf("somebody lays a route over the pods' network again and again, and pods lose packets until it is removed: %s; stop what writes it, or give it other ranges", r))
		}
	}
	slices.Sort(problems)
	return problems
}

// pace is the least time between two looks that events ask for. Where somebody
// writes against us, it is not the machine's main work.
func (a *agent) pace() time.Duration {
	for _, at := range a.laid {
		if len(at) >= stubborn {
			return uneasy
		}
	}
	return quiet
}
