package agent

import (
	"fmt"
	"net/netip"
	"time"

	"provision/overlay/rules"
)

// lookAround looks for what we cannot overrule, once a minute: a firewall's
// rules are many, and people change them seldom.
func (a *agent) lookAround() []string {
	if time.Since(a.looked) < time.Minute {
		return a.strangers
	}
	a.looked = time.Now()
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
