//go:build lab

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// certificates gives three masters and two workers new keys, and then new authorities, with `provision` killed on the way, while the API takes a write every
// 50 ms through the worker's balancer by somebody who knows the old authority alone, as a
// pod does that began before. New keys restart nothing. New authorities restart what the
// plan names; pods go on, and nobody who comes with an old certificate is believed.
func (l *lab) certificates() {
	t := l.t
	l.write("old-keys")
	l.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"writes","namespace":"default"}}
---
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"signed"},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"signed"}},"template":{"metadata":{"labels":{"app":"signed"}},
"spec":{"containers":[{"name":"web","image":%q,"args":["serve"]}]}}}}
`, image(t, "probe")))
	l.kubectl("rollout", "status", "deployment/signed", "--timeout=60s")
	l.kubectl("create", "serviceaccount", "robot")
	l.kubectl("create", "clusterrolebinding", "robot", "--clusterrole=edit", "--serviceaccount=default:robot")
	api := l.behindBalancerAs(l.address("w1"), strings.TrimSpace(l.kubectl("create", "token", "robot")))
	admin := l.behindBalancer(l.address("w1")) // an administrator with the kubeconfig of before
	machines := []string{"m1", "m2", "m3", "w1", "w2"}
	state := func(command string) string {
		var said strings.Builder
		for _, m := range machines {
			fmt.Fprintf(&said, "%s %s\n", m, l.on(m, "sh", "-c", command))
		}
		return said.String()
	}
	const processes = `for u in /etc/systemd/system/provision-*.service; do u=${u##*/}; [ $u = provision-renewal.service ] || echo $u $(systemctl show -P ExecMainStartTimestampMonotonic $u); done`
	const leaves = `cd /etc/provision/pki && for c in *.crt; do case $c in *-ca.crt) ;; *) sha256sum $c ${c%.crt}.key ;; esac; done`
	const authorities = `cd /etc/provision/pki && sha256sum *-ca.crt; ls *-ca.key 2>/dev/null | while read k; do sha256sum $k; done`
	const pods = "{range .items[*]}{.metadata.name} {range .status.containerStatuses[*]}{.containerID}{.restartCount}{end}\n{end}"

	// under does something while the API is written to, and says how it fared.
	under := func(what string, do func()) tally {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		writes := every(ctx, 50*time.Millisecond, func(ctx context.Context) error {
			patch := fmt.Appendf(nil, `{"data":{"at":"%d"}}`, time.Now().UnixNano())
			return api.Patch(types.MergePatchType).Resource("configmaps").Namespace("default").Name("writes").Body(patch).Do(ctx).Error()
		})
		start := time.Now()
		do()
		took := time.Since(start)
		stop()
		writing := <-writes
		t.Logf("%s: %.1f s; API: %s", what, took.Seconds(), writing)
		return writing
	}
	other := func(what, before, after string) {
		for line := range strings.Lines(before) {
			if fields := strings.Fields(line); len(fields) >= 2 && strings.Contains(after, fields[len(fields)-2]) {
				t.Errorf("%s: still the same: %s", what, line)
			}
		}
	}

	started, had, running := state(processes), state(leaves), l.kubectl("get", "pods", "-o", "jsonpath="+pods)
	writing := under("new keys", func() {
		l.provision(0, "certs rotate", "--yes")
		time.Sleep(25 * time.Second) // until everybody uses them
	})
	if writing.failed > 0 || writing.done < 100 {
		t.Errorf("new keys: the API: %s", writing)
	}
	if now := state(processes); now != started {
		t.Errorf("restarted:\n%swere\n%s", now, started)
	}
	other("new keys", had, state(leaves))

	had, old := state(leaves), state(authorities)
	out := l.provision(2, "certs rotate", "--ca", "--dry-run")
	t.Log(out.stdout)
	seed := cmp.Or(number(t, "PROVISION_SEED"), uint64(time.Now().UnixNano()))
	t.Logf("PROVISION_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	writing = under("new authorities, killed twice on the way", func() {
		for range cmp.Or(number(t, "PROVISION_KILLS"), 2) {
			s := l.start("certs rotate", "--ca", "--yes")
			after := 2*time.Second + time.Duration(random.Int64N(int64(25*time.Second)))
			select {
			case <-s.ended:
				t.Logf("it ended before it was killed: %s%s", s.stdout.String(), s.stderr.String())
			case <-time.After(after):
				s.cmd.Process.Kill()
				<-s.ended
				t.Logf("killed after %.1f s", after.Seconds())
			}
		}
		up := l.call(time.Minute, "bin/provision", "plan", l.file)
		if !strings.Contains(up.stderr, "certs rotate --ca") {
			t.Errorf("in the middle of it plan says %s", up.all())
		}
		l.provision(0, "certs rotate", "--ca", "--yes")
	})
	if writing.done-writing.failed < 100 {
		t.Errorf("new authorities: the API: %s", writing)
	}
	other("new authorities", had, state(leaves))
	other("new authorities", old, state(authorities))
	for m, want := range map[string]string{"m1": "1 1 1", "m2": "1 1 1", "m3": "1 1 1", "w1": "1", "w2": "1"} {
		if got := strings.Join(strings.Fields(l.on(m, "sh", "-c", "cd /etc/provision/pki && grep -hc BEGIN *-trust.pem; ls -d next previous retired pending/* 2>/dev/null || true")), " "); got != want {
			t.Errorf("%s trusts, and has left of the change: %s", m, got)
		}
	}
	if now := l.kubectl("get", "pods", "-o", "jsonpath="+pods); now != running {
		t.Errorf("pods were\n%sand are\n%s", running, now)
	}
	if published := l.kubectl("get", "configmap", "-n", "kube-system", "extension-apiserver-authentication", "-o", "jsonpath={.data}"); strings.Count(published, "BEGIN") != 2 {
		t.Errorf("extension servers are told of more than one authority each: %s", published)
	}
	// Whoever knows the old authority alone still knows the API server, and is not believed
	// with a certificate of it.
	if err := admin.Get().Resource("namespaces").Do(t.Context()).Error(); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("an old certificate: %v", err)
	}
	for _, pod := range strings.Fields(l.kubectl("get", "pods", "-l", "app=signed", "-o", "jsonpath={.items[*].metadata.name}")) {
		l.kubectl("logs", pod) // by the API server, from kubelet with its own new certificate
	}
	eventually(t, "kubectl top answers", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "top", "nodes")
		return out.code == 0, out.all()
	})
	l.kept("new authorities")
	l.kubectl("rollout", "restart", "deployment/signed")
	l.kubectl("rollout", "status", "deployment/signed", "--timeout=60s")
	if out := l.call(time.Minute, "bin/provision", "plan", l.file); out.code != 0 && !strings.Contains(out.stdout, "set sysctl kernel.panic") {
		t.Errorf("there is more to do: %s", out.all())
	}
	l.provision(0, "verify")
}
