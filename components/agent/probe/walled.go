package probe

import (
	"fmt"
	"net/netip"

	"provision/components/reach"
	"provision/overlay/rules"
)

// walled asks this machine's packet filters about what pods would send and get.
func walled(request reach.Request) ([]reach.Failure, error) {
	var failures []reach.Failure
	for _, dial := range request.Dial {
		if !dial.Pods.IsValid() {
			continue
		}
		walls, err := rules.Strangers([]netip.Prefix{dial.Pods}, dial.Addr.Addr())
		if err != nil {
			return nil, fmt.Errorf("what firewalls do with pods' packets: %w", err)
		}
		for _, wall := range walls {
			failures = append(failures, reach.Failure{Endpoint: dial.Endpoint, Reason: reach.Walled, Wall: &wall})
		}
	}
	return failures, nil
}
