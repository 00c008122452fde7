// Package reach is what `agent probe listen` and `agent probe reach` are told,
// and what they answer: machines that try, before anything is installed,
// whether their packets get to each other.
//
// Who needs to reach whom is provisioner/plan's affair, what happens on the
// wire the agent's; here is only what both must agree on.
package reach

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"provision/overlay/firewall"
)

// Bounds of one trial.
const (
	Patience  = 4 * time.Second  // a dial is given up after this
	Lifetime  = 30 * time.Second // a listener ends after this, whoever forgot it
	MaxEnds   = 4096             // endpoints in one request
	MaxAnswer = 4096             // failures in one answer
)

// Endpoint is where one listens and others dial.
type Endpoint struct {
	Proto string         `json:"proto"` // "tcp" or "udp"
	Addr  netip.AddrPort `json:"addr"`
}

// String is as a person writes it: "192.0.2.1:6443 (TCP)".
func (e Endpoint) String() string { return fmt.Sprintf("%s (%s)", e.Addr, strings.ToUpper(e.Proto)) }

// Dial is one endpoint to try.
type Dial struct {
	Endpoint
	// Open is an endpoint at which the cluster itself serves already: that a
	// connection comes about is enough. Any other must know the trial's key.
	Open bool `json:"open,omitempty"`
	// Pods is the cluster's range where pods are to dial the endpoint, their own
	// machine's: there are none yet, so the machine's packet filters are asked what
	// they would do with what pods send and get. Nothing is sent.
	Pods netip.Prefix `json:"pods,omitzero"`
}

// Request is one machine's part of a trial.
type Request struct {
	// Key is the trial's own secret, 32 random bytes: it tells this trial's
	// listeners from whatever else answers.
	Key    []byte     `json:"key"`
	Listen []Endpoint `json:"listen,omitempty"`
	Dial   []Dial     `json:"dial,omitempty"`
}

// Check refuses what no provisioner asks.
func (r Request) Check() error {
	if len(r.Key) != 32 {
		return fmt.Errorf("the key has %d bytes instead of 32", len(r.Key))
	}
	if n := len(r.Listen) + len(r.Dial); n > MaxEnds {
		return fmt.Errorf("%d endpoints are more than %d", n, MaxEnds)
	}
	ends := r.Listen
	for _, dial := range r.Dial {
		ends = append(ends[:len(ends):len(ends)], dial.Endpoint)
	}
	for _, end := range ends {
		if end.Proto != "tcp" && end.Proto != "udp" || !end.Addr.IsValid() || end.Addr.Port() == 0 {
			return fmt.Errorf("%.60q is no endpoint", end)
		}
	}
	for _, dial := range r.Dial {
		if dial.Pods.IsValid() && dial.Pods.Masked() != dial.Pods {
			return fmt.Errorf("%.60q is no range of pods", dial.Pods)
		}
	}
	return nil
}

// Reason is why an endpoint is not reached.
type Reason string

// The reasons.
const (
	Silent   Reason = "silent"   // no answer: dropped on the way
	Refused  Reason = "refused"  // rejected, though somebody listens
	NoRoute  Reason = "no route" // this machine's own routing knows no way
	Stranger Reason = "stranger" // something else answers
	Busy     Reason = "busy"     // the port cannot be listened at
	Walled   Reason = "walled"   // a firewall of the machine's own takes what pods send or get
)

// Failure is one endpoint that was not reached, or not listened at.
type Failure struct {
	Endpoint
	Reason Reason `json:"reason"`
	Detail string `json:"detail,omitempty"` // the system's own words

	Wall *firewall.Wall `json:"wall,omitempty"` // where the reason is Walled; a machine's word, see Valid
}

// Report is what either command prints.
type Report struct {
	Failures []Failure `json:"failures"`
}
