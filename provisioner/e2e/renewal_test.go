//go:build lab

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// TestRenewal has certificates that live for two minutes renewed, while
// the API takes a write every 50 ms: no process of ours is restarted, no write fails for
// its certificate, and each machine has new ones.
func TestRenewal(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1")
	l.insert("  certificates { lifetime = \"2m\" }\n")
	l.provision(0, "up", "--yes")
	l.apply(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"writes","namespace":"default"}}`)
	machines := []string{"m1", "w1"}
	state := func(command string) map[string]string {
		said := map[string]string{}
		for _, m := range machines {
			said[m] = l.on(m, "sh", "-c", command)
		}
		return said
	}
	const processes = `for u in /etc/systemd/system/provision-*.service; do u=${u##*/}; [ $u = provision-renewal.service ] || echo $u $(systemctl show -P ExecMainStartTimestampMonotonic $u); done`
	const ends = `for c in /etc/provision/pki/*.crt; do case $c in *-ca.crt) ;; *) sha256sum $c ;; esac; done`
	started, had := state(processes), state(ends)
	// The administrators' kubeconfig holds a certificate, which ends: the client here has
	// the identity of a ServiceAccount, as a program in a pod.
	l.kubectl("create", "serviceaccount", "robot")
	l.kubectl("create", "clusterrolebinding", "robot", "--clusterrole=edit", "--serviceaccount=default:robot")
	api := l.behindBalancerAs(l.address("w1"), strings.TrimSpace(l.kubectl("create", "token", "robot")))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	writes := every(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		patch := fmt.Appendf(nil, `{"data":{"at":"%d"}}`, time.Now().UnixNano())
		return api.Patch(types.MergePatchType).Resource("configmaps").Namespace("default").Name("writes").Body(patch).Do(ctx).Error()
	})
	time.Sleep(150 * time.Second) // beyond the end of the first ones
	stop()
	writing := <-writes
	t.Logf("in 150 s with certificates of 120 s: API: %s", writing)
	if writing.failed > 0 || writing.done < 1000 {
		t.Errorf("the API: %s", writing)
	}
	if now := state(processes); fmt.Sprint(now) != fmt.Sprint(started) {
		t.Errorf("restarted: %v, were %v", now, started)
	}
	for m, now := range state(ends) {
		for line := range strings.Lines(now) {
			if strings.Contains(had[m], line) {
				t.Errorf("%s: not renewed: %s", m, line)
			}
		}
	}
	l.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=20s")
	// Machines of a lab share a kernel: what another lab put back there is set again.
	if plan := l.call(time.Minute, "bin/provision", "plan", l.file); plan.code != 0 && !strings.Contains(plan.stdout, "set sysctl kernel.panic") {
		t.Errorf("there is more to do: %s", plan.all())
	}
}
