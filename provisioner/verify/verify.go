// Package verify proves that a cluster works: named checks, made from pods on
// every machine and from the machines themselves, and drills that break
// something on purpose and measure what follows.
//
// It changes nothing but a namespace of its own, which it takes away again, and
// (in a drill, with consent) what the drill is about: see Kind. It prints nothing:
// what it found is data. Dialling from a machine and running in a pod are provisioner's
// ssh and kube.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"provision/components"
	"provision/components/wire"
	"provision/provisioner/mesh"
)

// Bounds of one run. What is set up late (rules, a tunnel's first handshake) is
// given a few tries; what does not work then does not work.
const (
	setupPatience = 90 * time.Second // for the probes to run
	checkPatience = 8 * time.Second  // for all tries of one check
	tryPatience   = 3 * time.Second  // for one of them
	execPatience  = 10 * time.Second // for a kubelet to be reached
	cleanPatience = 45 * time.Second
	atOnce        = 8 // checks side by side
)

// Cluster is what is used of the API server.
type Cluster interface {
	components.API
	Exec(ctx context.Context, namespace, pod string, argv []string) (stdout, stderr []byte, err error)
}

// Machine is a machine of the cluster and what can be asked of it: functions,
// which are nil where it cannot be reached.
type Machine struct {
	Name    string // its Node's name as well
	Role    components.Role
	Address netip.Addr
	// Address6 is one of IPv6 that its Node has beside Address; else invalid.
	Address6 netip.Addr
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	SSHPort  int // at which it is dialled
	// Run runs a command as root.
	Run func(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error)
	// Reconnect dials it anew: after a cut the old connection may stay mute for as
	// long as the cut was.
	Reconnect func(ctx context.Context) error
	// ReadFile returns a file of the machine.
	ReadFile func(ctx context.Context, name string) ([]byte, error)
	// Sniff looks at the machine's links until hold ends, calls ready once nothing
	// is missed any more, and returns what it saw.
	Sniff func(ctx context.Context, request wire.Request, ready func(), hold io.Reader) (wire.Report, error)
	// Overlay returns what the overlay's agent last said.
	Overlay func(ctx context.Context) mesh.Seen
}

// Limit is what nobody can verify, since it is not so.
const Limit = "pod to pod is inside the tunnel; what a pod exchanges with another machine's own address (hostNetwork pods, kubelet, " +
	"NodePorts) is outside of it, and encrypted only where the programs do that themselves"

// Options say what to verify.
type Options struct {
	Image  string     // reference of the probe's image
	Domain string     // the cluster's: "cluster.local"
	Port   int        // the overlay's, UDP
	Dual   bool       // pods and Services have addresses of both families
	DNS6   netip.Addr // the cluster's DNS in IPv6, where Dual
	// Outside is the "name:port" of an HTTP server that pods must reach. "": the
	// resolvers of each machine that they answer, and no other.
	Outside  string
	Machines []Machine
	Observe  func(Result) // told each result as it comes, one at a time; may be nil
}

// Outcome is how a check ended.
type Outcome string

// The outcomes.
const (
	OK         Outcome = "ok"
	Failed     Outcome = "failed"
	NotChecked Outcome = "not checked"
)

// Result is what one check found for one subject.
type Result struct {
	Check   string  `json:"check"`
	Subject string  `json:"subject"` // "w1", or "w1 → w2"
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail,omitempty"`
	Seconds float64 `json:"seconds"`
}

// Passed says that no check failed.
func Passed(results []Result) bool {
	for _, r := range results {
		if r.Outcome == Failed {
			return false
		}
	}
	return true
}

// Run makes every check and returns the results in the checks' order. The error
// says that checking itself was not possible, or that something could not be
// taken away again; results may come with it.
func Run(ctx context.Context, cluster Cluster, options Options) (results []Result, err error) {
	stage, err := build(ctx, cluster, options)
	if stage != nil {
		defer func() { err = errors.Join(err, stage.remove(ctx)) }()
	}
	if err != nil {
		return nil, err
	}
	var work []subject
	for _, check := range Checks {
		for _, s := range check.subjects(stage) {
			s.check = check.Name
			work = append(work, s)
		}
		if !options.Dual || !slices.Contains(inBoth, check.Name) {
			continue
		}
		for _, s := range check.subjects(stage.inIPv6()) {
			s.check, s.name = check.Name, s.name+", IPv6"
			work = append(work, s)
		}
	}
	results = make([]Result, len(work))
	reported := make(chan Result)
	told := make(chan struct{})
	go func() {
		defer close(told)
		for result := range reported {
			if options.Observe != nil {
				options.Observe(result)
			}
		}
	}()
	var group errgroup.Group
	group.SetLimit(atOnce)
	var waiting sync.WaitGroup // for what goes on anyway: these take no turn from others
	for i, s := range work {
		run := func() {
			results[i] = s.run(ctx)
			reported <- results[i]
		}
		if s.patience > 0 {
			waiting.Go(run)
			continue
		}
		group.Go(func() error { run(); return nil })
	}
	group.Wait()
	waiting.Wait()
	close(reported)
	<-told
	return results, context.Cause(ctx)
}

// subject is one thing that a check looks at.
type subject struct {
	check string
	name  string
	// patience is for the one try of a check that waits for something under way;
	// 0: several tries, of tryPatience each.
	patience time.Duration
	// try returns what there is to say, or what is wrong. It is called again
	// after an error while there is time.
	try func(ctx context.Context) (detail string, err error)
}

// errSkip is what try returns where there is nothing to check.
type errSkip string

func (e errSkip) Error() string { return string(e) }

// errFinal marks an error that does not change by trying again.
type errFinal struct{ error }

func (s subject) run(ctx context.Context) Result {
	begin := time.Now()
	all, each := checkPatience, tryPatience
	if s.patience > 0 {
		all, each = s.patience, s.patience
	}
	ctx, cancel := context.WithTimeout(ctx, all)
	defer cancel()
	result := Result{Check: s.check, Subject: s.name, Outcome: OK}
	for tries := 1; ; tries++ {
		once, done := context.WithTimeout(ctx, each)
		detail, err := s.try(once)
		done()
		result.Seconds = time.Since(begin).Seconds()
		var skip errSkip
		var final errFinal
		switch {
		case err == nil:
			if result.Detail = detail; tries > 1 {
				result.Detail = join(detail, fmt.Sprintf("at try %d", tries))
			}
			return result
		case errors.As(err, &skip):
			result.Outcome, result.Detail = NotChecked, skip.Error()
			return result
		}
		// The first error of a series says more than the timeout that ends it.
		if result.Detail == "" || ctx.Err() == nil {
			result.Detail = err.Error()
		}
		if errors.As(err, &final) || ctx.Err() != nil {
			result.Outcome = Failed
			return result
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}
