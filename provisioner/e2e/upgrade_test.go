//go:build lab

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// older is the version of Kubernetes that TestUpgrade begins with.
const older = "1.35.4"

// TestUpgrade takes three masters and two workers from one minor version to the next and
// back, while a Service of two replicas is called every 20 ms through a NodePort of a
// master and the API takes a write every 50 ms through a worker's balancer: first a
// master's new control plane does not start, and it goes back by itself; the rest goes
// back when told; then a worker's new kubelet does not start, and it goes back by itself;
// then all goes well. No call may fail; how long the API takes none is told and not
// judged. In the end the finalised upgrade goes back to the snapshot of before.
func TestUpgrade(t *testing.T) {
	l := newLab(t, "--masters", "3", "--workers", "2")
	l.provision(0, "up", "--yes", "--var", "version="+older)
	l.write("before")
	l.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"writes","namespace":"default"}}
---
{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"NodePort","selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080,"nodePort":30080}]}}
---
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"ScheduleAnyway","labelSelector":{"matchLabels":{"app":"web"}}}],
"containers":[{"name":"web","image":%q,"args":["serve"],"lifecycle":{"preStop":{"sleep":{"seconds":5}}}}]}}}}
`, image(t, "probe")))
	l.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	m3, api := l.address("m3"), l.behindBalancer(l.address("w2"))
	calls := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

	// under does something while both clients ask, and says how they fared.
	under := func(t *testing.T, what string, do func()) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		service := every(ctx, 20*time.Millisecond, func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(m3, "30080")+"/", nil)
			if err != nil {
				return err
			}
			answer, err := calls.Do(request)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
				return fmt.Errorf("%s, %v", answer.Status, err)
			}
			return nil
		})
		writes := every(ctx, 50*time.Millisecond, func(ctx context.Context) error {
			patch := fmt.Appendf(nil, `{"data":{"at":"%d"}}`, time.Now().UnixNano())
			return api.Patch(types.MergePatchType).Resource("configmaps").Namespace("default").Name("writes").Body(patch).Do(ctx).Error()
		})
		time.Sleep(2 * time.Second)
		start := time.Now()
		do()
		took := time.Since(start)
		time.Sleep(5 * time.Second)
		stop()
		calling, writing := <-service, <-writes
		t.Logf("%s: %.1f s; Service: %s; API: %s", what, took.Seconds(), calling, writing)
		if calling.failed > 0 || calling.done < 100 {
			t.Errorf("%s: the Service: %s", what, calling)
		}
		if writing.done-writing.failed < 100 {
			t.Errorf("%s: the API: %s", what, writing)
		}
	}
	const newer = "1.36.3"
	well := func(l *lab) {
		eventually(l.t, "all is well", func() (bool, string) {
			out := l.call(time.Minute, "bin/provision", "status", l.file)
			return out.code == 0, out.all()
		})
		l.kept("a step of an upgrade")
	}

	t.Run("a master's new control plane does not start", func(t *testing.T) {
		l := l.in(t)
		l.spoil("m2", "apiserver", newer)
		under(t, "m2 goes back by itself", func() {
			out := l.provision(1, "upgrade", "--to", newer, "--yes")
			if !strings.Contains(out.stderr, "m2: ") || !strings.Contains(out.stderr, "ends again and again") || !strings.Contains(out.stderr, "it went back to bundle "+older) {
				t.Errorf("the upgrade said %s", out.stderr)
			}
		})
		well(l)
		if got := l.running("apiserver"); got != "m1 "+newer+", m2 "+older+", m3 "+older {
			t.Errorf("API servers: %s", got)
		}
	})
	t.Run("the rest goes back", func(t *testing.T) {
		l := l.in(t)
		under(t, "back before it is finalised", func() { l.provision(0, "upgrade", "--rollback", "--yes") })
		well(l)
		if got := l.running("apiserver"); got != "m1 "+older+", m2 "+older+", m3 "+older {
			t.Errorf("API servers: %s", got)
		}
	})
	t.Run("a worker's new kubelet does not start", func(t *testing.T) {
		l := l.in(t)
		l.spoil("w1", "kubelet", newer)
		under(t, "to the next minor version, but that w1 goes back by itself", func() {
			out := l.provision(1, "upgrade", "--to", newer, "--yes")
			if !strings.Contains(out.stderr, "w1: ") || !strings.Contains(out.stderr, "it went back to bundle "+older) {
				t.Errorf("the upgrade said %s", out.stderr)
			}
		})
		well(l)
		if got := l.kubectl("get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.name}{.status.nodeInfo.kubeletVersion}{.spec.unschedulable} {end}"); got != "m1v1.36.3 m2v1.36.3 m3v1.36.3 w1v1.35.4 w2v1.35.4 " {
			t.Errorf("kubelets: %s", got)
		}
	})
	t.Run("it goes on", func(t *testing.T) {
		l := l.in(t)
		under(t, "the workers", func() { l.provision(0, "upgrade", "--to", newer, "--yes") })
		versions := l.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
		if strings.Contains(versions, older) || len(strings.Fields(versions)) != 5 {
			t.Errorf("the kubelets are of %s", versions)
		}
		l.provision(0, "plan")
		if out := l.call(time.Minute, "bin/provision", "plan", l.file, "--var", "version="+older); out.code != 1 || !strings.Contains(out.stderr, "upgrade --rollback") {
			t.Errorf("back to %s: exit status %d, %s", older, out.code, out.all())
		}
	})
	t.Run("back to the snapshot", func(t *testing.T) {
		l := l.in(t)
		l.kubectl("create", "configmap", "later")
		l.provision(64, "upgrade", "--rollback") // nobody to type the name
		l.provision(0, "upgrade", "--rollback", "--yes")
		well(l)
		if out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "get", "configmap", "later"); out.code == 0 {
			t.Errorf("what came after the snapshot is there: %s", out.all())
		}
		versions := l.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
		if strings.Contains(versions, newer) || len(strings.Fields(versions)) != 5 {
			t.Errorf("the kubelets are of %s", versions)
		}
		l.kubectl("rollout", "restart", "deployment/web")
		l.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
	})
}

// spoil has a component of a machine refuse to start from a version, until the subtest ends.
func (l *lab) spoil(machine, component, version string) {
	l.t.Helper()
	unit := "/etc/systemd/system/provision-" + component + ".service"
	l.t.Cleanup(func() { l.on(machine, "sh", "-c", "rm -rf "+unit+".d && systemctl daemon-reload") })
	l.on(machine, "sh", "-c", fmt.Sprintf(`mkdir -p %[1]s.d && printf '[Service]\nExecStartPre=/bin/sh -c "! grep -q %[2]s %[1]s"\n' >%[1]s.d/spoilt.conf && systemctl daemon-reload`, unit, version))
}

// running says of which version each master runs a component.
func (l *lab) running(component string) string {
	l.t.Helper()
	var all []string
	for _, m := range []string{"m1", "m2", "m3"} {
		out := l.on(m, "sh", "-c", `tr '\0' '\n' </proc/$(systemctl show -P MainPID provision-`+component+`)/cmdline | head -n 1`)
		id, _, _ := strings.Cut(strings.TrimPrefix(out, "/opt/provision/"), "/")
		version, _, _ := strings.Cut(id, "-")
		all = append(all, m+" "+version)
	}
	return strings.Join(all, ", ")
}

// address is a machine's, from the cluster.
func (l *lab) address(machine string) string {
	l.t.Helper()
	return l.kubectl("get", "node", machine, "-o", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
}

// behindBalancer is a client of the API with the administrators' rights, through SSH at
// a machine's own balancer.
func (l *lab) behindBalancer(address string) rest.Interface {
	l.t.Helper()
	return l.behindBalancerAs(address, "")
}

// behindBalancerAs is the same with the rights of a token, where that is not "".
func (l *lab) behindBalancerAs(address, token string) rest.Interface {
	l.t.Helper()
	key, err := os.ReadFile(filepath.Join(l.dir, "id_ed25519"))
	if err != nil {
		l.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(key)
	if err != nil {
		l.t.Fatal(err)
	}
	// The lab's own machine, in a namespace of its own: `provision` has checked its key.
	tunnel, err := ssh.Dial("tcp", net.JoinHostPort(address, "22"), &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 10 * time.Second})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { tunnel.Close() })
	config, err := clientcmd.RESTConfigFromKubeConfig([]byte(l.provision(0, "kubeconfig").stdout))
	if err != nil {
		l.t.Fatal(err)
	}
	config.Dial = func(context.Context, string, string) (net.Conn, error) { return tunnel.Dial("tcp", "127.0.0.1:6444") }
	config.GroupVersion, config.APIPath = &schema.GroupVersion{Version: "v1"}, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ServerName = "127.0.0.1" // any master may answer
	config.QPS = -1
	if token != "" {
		config.CertData, config.KeyData, config.BearerToken = nil, nil, token
	}
	client, err := rest.RESTClientFor(config)
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}
