//go:build lab

package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestore takes a backup, loses the only master for good, and brings the cluster
// back: in the master's place, where the worker that was left goes on with its pods and
// hears of what is changed; and on blank machines with other names and addresses, in the
// middle of which `provision` is killed. Objects keep their UIDs, a Secret its content,
// and an old token is accepted.
func TestRestore(t *testing.T) {
	t.Setenv("PROVISION_PASSPHRASE", "not the one of production")
	l := newLab(t, "--masters", "1", "--workers", "1")
	l.provision(0, "up", "--yes")
	l.write("before")
	l.apply(recoverWorkload(image(t, "probe")) + `
---
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"kept-secret"},"stringData":{"word":"Rumpelstiltskin"}}
---
{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}
---
{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"robot"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},
"subjects":[{"kind":"ServiceAccount","name":"robot","namespace":"default"}]}
`)
	l.kubectl("rollout", "status", "daemonset", "kept", "--timeout=60s")
	token := strings.TrimSpace(l.kubectl("create", "token", "robot", "--duration=24h"))
	uid := l.kubectl("get", "secret", "kept-secret", "-o", "jsonpath={.metadata.uid}")
	onW1 := func(l *lab) string {
		return l.kubectl("get", "pods", "-l", "app=kept", "--field-selector", "spec.nodeName=w1", "-o", podIdentity)
	}
	pod := onW1(l)
	file := filepath.Join(l.dir, "site.backup")
	l.provision(0, "backup", "-o", file)
	l.provision(1, "backup", "-o", file) // it is there
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	l.kubectl("create", "configmap", "later") // and lost with the master
	same := func(l *lab, master string) {
		t.Helper()
		l.kept("restored")
		if got := l.kubectl("get", "secret", "kept-secret", "-o", "jsonpath={.metadata.uid} {.data.word}"); got != uid+" UnVtcGVsc3RpbHRza2lu" {
			t.Errorf("the Secret is %q, its UID was %s", got, uid)
		}
		if out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "get", "configmap", "later"); out.code == 0 {
			t.Errorf("what came after the backup is there: %s", out.all())
		}
		if got := l.asks(t, "https://"+l.address(master)+":6443/api/v1/namespaces/default/configmaps", token); !strings.Contains(got, "kept-before-0") {
			t.Errorf("the old token: %.300s", got)
		}
		l.provision(0, "plan")
	}

	t.Run("in the lost master's place", func(t *testing.T) {
		l := l.in(t)
		if out := l.provision(1, "restore", file, "--yes"); !strings.Contains(out.stderr, "a restore wants blank masters") {
			t.Errorf("onto a living cluster: %s", out.all())
		}
		l.lab("kill", "m1")
		l.lab("replace", "m1")
		l.provision(0, "restore", file, "--yes")
		eventually(t, "w1 is back", func() (bool, string) {
			out := l.call(time.Minute, "bin/provision", "status", l.file)
			return out.code == 0, out.all()
		})
		same(l, "m1")
		if now := onW1(l); now != pod {
			t.Errorf("the pod on w1 is %q, and was %q", now, pod)
		}
		// Its kubelet hears of changes: a watch that went on from before would not.
		l.kubectl("rollout", "restart", "daemonset", "kept")
		l.kubectl("rollout", "status", "daemonset", "kept", "--timeout=90s")
		if now := onW1(l); now == pod {
			t.Errorf("the pod on w1 is the old one: %q", now)
		}
	})

	t.Run("elsewhere, killed in the middle", func(t *testing.T) {
		other := newLab(t, "--masters", "1", "--workers", "1")
		written[other.dir] = written[l.dir]
		text, err := os.ReadFile(other.file)
		if err != nil {
			t.Fatal(err)
		}
		other.rewrite(strings.NewReplacer(`machine "m1"`, `machine "one"`, `machine "w1"`, `machine "two"`).Replace(string(text)))
		first := other.start("restore", file, "--yes")
		eventually(t, "etcd's data are there", func() (bool, string) {
			return strings.Contains(first.stderr.String(), "bring back etcd's data"), first.stderr.String()
		})
		first.cmd.Process.Kill()
		<-first.ended
		if out := other.provision(1, "up", "--yes"); !strings.Contains(out.stderr, "a restore that is not finished") {
			t.Errorf("up in the middle of a restore: %s", out.all())
		}
		other.provision(0, "restore", file, "--yes")
		same(other, "one")
		if nodes := other.kubectl("get", "nodes", "-o", "name"); strings.Count(nodes, "/") != 2 || !strings.Contains(nodes, "node/two") {
			t.Errorf("nodes: %s", nodes)
		}
		l.provision(0, "verify") // the cluster that it is a copy of goes on
	})
}

// asks sends a GET with a bearer token, as a program in a pod does. The server's
// certificate is not what is looked at.
func (l *lab) asks(t *testing.T, url, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Sprint(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
