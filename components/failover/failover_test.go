package failover

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components/balancer"
)

func TestDefaults(t *testing.T) {
	want := Settings{
		LeaseSeconds: 4, Renewal: time.Second, StatusFrequency: 1500 * time.Millisecond,
		MonitorPeriod: time.Second, MonitorGrace: 5 * time.Second, EvictSeconds: 4,
		LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: time.Second,
		ReadIdleSeconds: 2, PingSeconds: 1,
		Heartbeat: 100 * time.Millisecond, Election: time.Second,
	}
	if diff := cmp.Diff(want, From(0, 0)); diff != "" {
		t.Error(diff)
	}
	if gap := From(0, 0).Gap(); gap != 3*time.Second {
		t.Errorf("an API gap of %s is survived, the comment says 3 s", gap)
	}
}

// TestNothingContradicts walks all that Check lets through, up to more than
// upstream's own defaults.
func TestNothingContradicts(t *testing.T) {
	// The balancer gives a server up that was silent twice.
	const noticed = 2 * (balancer.DefaultInterval + balancer.DefaultTimeout)
	for detect := MinDetect; detect <= 2*time.Minute; detect += time.Second {
		if err := Check(detect, 0); err != nil {
			t.Fatalf("%s: %v", detect, err)
		}
		s := From(detect, time.Second)
		for what, holds := range map[string]bool{
			"a dead machine is noticed within detect":                               s.MonitorGrace+s.MonitorPeriod <= detect,
			"kubelet renews more than once in the grace":                            2*s.Renewal <= s.MonitorGrace,
			"kubelet renews after a quarter of the lease":                           s.Renewal == time.Duration(s.LeaseSeconds)*time.Second/4,
			"a dead connection is given up before the grace ends":                   time.Duration(s.ReadIdleSeconds+s.PingSeconds)*time.Second < s.MonitorGrace,
			"a renewal may meet a dead server, and then be lost with etcd's leader": s.Renewal+noticed+min(s.StatusFrequency, time.Duration(s.LeaseSeconds)*time.Second) < s.MonitorGrace,
			"some API gap is survived":                                              s.Gap() >= time.Second,
			"client-go: lease duration > renew deadline":                            s.LeaseDuration > s.RenewDeadline,
			"client-go: renew deadline > 1.2 * retry period":                        s.RenewDeadline > s.RetryPeriod*12/10,
			"etcd: the election waits for at least five heartbeats":                 s.Election >= 5*s.Heartbeat,
			"etcd: the election is within its bound of 50 s":                        s.Election <= 50*time.Second,
			"fields in seconds are positive":                                        s.ReadIdleSeconds > 0 && s.PingSeconds > 0 && s.LeaseSeconds > 0 && s.RetryPeriod > 0,
		} {
			if !holds {
				t.Errorf("detect = %s: not so: %s: %+v", detect, what, s)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		detect, evict time.Duration
		ok            bool
	}{
		{DefaultDetect, DefaultEvict, true},
		{MinDetect, 0, true},
		{MinDetect - time.Second, 0, false},
		{6500 * time.Millisecond, 0, false},
		{DefaultDetect, 500 * time.Millisecond, false},
		{DefaultDetect, -time.Second, false},
	} {
		if err := Check(c.detect, c.evict); (err == nil) != c.ok {
			t.Errorf("detect %s, evict %s: %v", c.detect, c.evict, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	want := []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS=4", "HTTP2_PING_TIMEOUT_SECONDS=2"}
	if got := From(12*time.Second, 0).Environment(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
