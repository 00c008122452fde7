// Package renewal has a machine renew its certificates by itself, on a timer and with no
// restart: processes read them again. A master signs for itself; any other machine asks
// one, as its own kubelet. What a certificate says is components/pki's to want: here it
// is only made to last.
package renewal

import (
	"encoding/json"
	"time"

	"provision/components"
	"provision/components/actions"
	"provision/components/pki"
	"provision/templates"
)

// The files, and the unit that is enabled: it looks at boot and then again and again.
const (
	configFile = components.Etc + "/renewal.json"
	Timer      = components.UnitName + "renewal.timer"
)

// Service is what the timer starts.
var Service = actions.Service("renewal")

// every is how often it is looked whether one is due: often enough for a few attempts
// between half of the time and its end.
func every(lifetime time.Duration) time.Duration {
	return min(max(lifetime/20, 5*time.Second), 6*time.Hour).Round(time.Second)
}

// Actions put the timer in place. It is asked for after worker.Network, which writes
// kubelet's kubeconfig.
func Actions(c components.Cluster, _ components.MachineSpec, f components.Facts) []components.Action {
	d := actions.NewDraft("pki", f)
	lifetime := pki.Lifetime(c)
	text, err := json.MarshalIndent(pki.Renewal{LifetimeSeconds: int64(lifetime / time.Second), Kubeconfig: components.Etc + "/kubelet.kubeconfig"}, "", "  ")
	if err != nil {
		panic(err) // plain data always marshals
	}
	d.File(configFile, 0o600, append(text, '\n'))
	d.File(actions.UnitPath(Service), 0o644, templates.RenewalService(templates.Renewal{Agent: c.Agent()}))
	d.Unit(Timer, func(sum string) []byte {
		return templates.RenewalTimer(templates.Renewal{Every: every(lifetime), Sum: sum})
	}, configFile, actions.UnitPath(Service))
	d.Start(true, Timer)
	return d.Actions()
}
