package templates

import "time"

// Renewal is renewal.service and renewal.timer.
type Renewal struct {
	Agent string        // path of the agent
	Every time.Duration // between two looks; whole seconds
	Sum   string        // of the timer without it, and of the service
}

// Delay spreads the looks of many machines.
func (r Renewal) Delay() time.Duration { return r.Every / 5 }

// RenewalService returns the unit that renews certificates once.
func RenewalService(v Renewal) []byte { return render("renewal.service", v) }

// RenewalTimer returns the timer that starts it.
func RenewalTimer(v Renewal) []byte { return render("renewal.timer", v) }
