// Package failover turns the two numbers of the cluster file, detect and evict,
// into the settings of every component that has a part in noticing a dead
// machine and in moving its work. It is arithmetic and nothing else; who writes
// a setting where is the components' affair.
package failover

import (
	"fmt"
	"strconv"
	"time"
)

// Settings are all that follow from detect and evict.
type Settings struct {
	// LeaseSeconds is how long kubelet's Lease is valid. Nobody judges by it;
	// kubelet renews after a quarter of it, and that is what it is for.
	LeaseSeconds int
	// Renewal is that quarter: how often kubelet says that it lives.
	Renewal time.Duration
	// StatusFrequency is how often kubelet computes its status, and how long it
	// waits for the answer to a renewal (upstream takes the shorter of this and
	// the Lease). After a cut it is the longest wait until a Node is Ready again.
	StatusFrequency time.Duration
	// MonitorPeriod is how often the controller manager looks at the Leases.
	MonitorPeriod time.Duration
	// MonitorGrace is how long it takes a Node for alive without a renewal.
	MonitorGrace time.Duration
	// EvictSeconds is how long a new pod tolerates a dead Node.
	EvictSeconds int
	// The leader elections of controller manager and scheduler.
	LeaseDuration, RenewDeadline, RetryPeriod time.Duration
	// HTTP/2: a client that read nothing for ReadIdleSeconds pings, and gives
	// its connection up when PingSeconds later nothing came back.
	ReadIdleSeconds, PingSeconds int
	// etcd's heartbeat and how long a member hears none before it stands for election.
	Heartbeat, Election time.Duration
}

// Detect and evict of a cluster file that does not say them, and the smallest
// detect that leaves every number below at one second or more.
const (
	DefaultDetect = 6 * time.Second
	DefaultEvict  = 4 * time.Second
	MinDetect     = 5 * time.Second
)

// From computes the settings. All are whole seconds, but for etcd's, since the
// fields behind them are integers. With detect = 6 s, evict = 4 s:
//
//	monitor period   detect/6            = 1 s
//	grace            detect - period     = 5 s    noticed within grace + period of the last renewal seen
//	lease            4 * renewal         = 4 s    renewal every second: detect/6
//	status, time-out detect/4            = 1.5 s  of a renewal: one that went to etcd's dead leader by a master
//	                                     that lives has no answer before upstream's 7 s. Renewal (1 s) + a dead
//	                                     server noticed by the balancer (1.6 s) + one such time-out is less than the grace
//	HTTP/2           detect/3 + detect/6 = 2 + 1 s, which must be less than the grace: a kubelet whose
//	                                     connection went to a dead master needs a new one in time
//	leader lease     detect              = 6 s    deadline 2/3 of it, retry 1/6
//	election         detect/6            = 1000 ms, heartbeat a tenth
//
// What is left of the grace is for the API: grace - renewal = 4 s, in which a
// renewal that failed is tried again after 0.2, 0.6, 1.4 and 3 s (client-go's
// doubling back-off). So an API gap of up to 3 s makes no Node NotReady.
func From(detect, evict time.Duration) Settings {
	if detect == 0 {
		detect = DefaultDetect
	}
	if evict == 0 {
		evict = DefaultEvict
	}
	sixth := seconds(detect/6, 1, 10)
	lease := 4 * int(sixth/time.Second)
	return Settings{
		LeaseSeconds:    lease,
		Renewal:         time.Duration(lease) * time.Second / 4,
		StatusFrequency: min(detect/4, 10*time.Second),
		MonitorPeriod:   seconds(detect/6, 1, 5),
		MonitorGrace:    detect - seconds(detect/6, 1, 5),
		EvictSeconds:    int(evict / time.Second),
		LeaseDuration:   seconds(detect, 4, 15),
		RenewDeadline:   seconds(detect*2/3, 3, 10),
		RetryPeriod:     seconds(detect/6, 1, 2),
		ReadIdleSeconds: int(seconds(detect/3, 1, 30) / time.Second),
		PingSeconds:     int(seconds(detect/6, 1, 15) / time.Second),
		Heartbeat:       min(max(detect/60, 100*time.Millisecond), 500*time.Millisecond),
		Election:        min(max(detect/6, time.Second), 5*time.Second),
	}
}

// seconds rounds down to whole seconds, within bounds given in seconds.
func seconds(d time.Duration, low, high int) time.Duration {
	return min(max(d.Truncate(time.Second), time.Duration(low)*time.Second), time.Duration(high)*time.Second)
}

// Environment is what every client of the API has in its environment.
func (s Settings) Environment() []string {
	return []string{
		"HTTP2_READ_IDLE_TIMEOUT_SECONDS=" + strconv.Itoa(s.ReadIdleSeconds),
		"HTTP2_PING_TIMEOUT_SECONDS=" + strconv.Itoa(s.PingSeconds),
	}
}

// backOff is when a failed renewal is tried again, counted from its failure.
var backOff = []time.Duration{200 * time.Millisecond, 600 * time.Millisecond, 1400 * time.Millisecond,
	3 * time.Second, 6200 * time.Millisecond}

// Gap is the longest time without an API that makes no Node NotReady.
func (s Settings) Gap() time.Duration {
	var gap time.Duration
	for _, at := range backOff {
		if s.Renewal+at < s.MonitorGrace {
			gap = at
		}
	}
	return gap
}

// Check says what is wrong with a cluster file's numbers, or nil.
func Check(detect, evict time.Duration) error {
	switch {
	case detect%time.Second != 0 || evict%time.Second != 0:
		return fmt.Errorf("detect and evict are whole seconds")
	case detect < MinDetect:
		return fmt.Errorf("detect is at least %s: a renewal, the next try after an API gap, and the period of looking must fit", MinDetect)
	case evict < 0:
		return fmt.Errorf("evict is not negative")
	}
	return nil
}
