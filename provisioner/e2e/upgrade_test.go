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

// TestUpgrade takes three masters and two workers from one minor version to the next,
// while a Service of two replicas is called every 20 ms through a NodePort and the API
// takes a write every 50 ms through a worker's balancer. No call may fail; how long the
// API takes none is told and not judged. It needs the bundles of both versions.
func TestUpgrade(t *testing.T) {
	l := newLab(t, "--masters", "3", "--workers", "2")
	l.provision(0, "up", "--yes", "--var", "version="+older)
	l.apply(fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"writes","namespace":"default"}}
---
{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"NodePort","selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080,"nodePort":30080}]}}
---
{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"kubernetes.io/hostname","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"app":"web"}}}],
"containers":[{"name":"web","image":%q,"args":["serve"]}]}}}}
`, image(t, "probe")))
	l.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	w1, w2 := l.address("w1"), l.address("w2")
	calls := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	api := l.behindBalancer(w2)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	service := every(ctx, 20*time.Millisecond, func(ctx context.Context) error {
		answer, err := calls.Get("http://" + net.JoinHostPort(w1, "30080") + "/")
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
	l.provision(0, "up", "--yes")
	took := time.Since(start)
	time.Sleep(5 * time.Second)
	stop()
	calling, writing := <-service, <-writes
	t.Logf("%s to the next minor version in %.1f s; Service: %s; API: %s", older, took.Seconds(), calling, writing)
	if calling.failed > 0 || calling.done < 100 {
		t.Errorf("the Service: %s", calling)
	}
	if writing.done-writing.failed < 100 {
		t.Errorf("the API: %s", writing)
	}
	versions := l.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.nodeInfo.kubeletVersion}")
	if strings.Contains(versions, older) || len(strings.Fields(versions)) != 5 {
		t.Errorf("the kubelets are of %s", versions)
	}
	l.provision(0, "plan")
	if out := l.call(time.Minute, "bin/provision", "plan", l.file, "--var", "version="+older); out.code != 1 || !strings.Contains(out.stderr, "there is no way back") {
		t.Errorf("back to %s: exit status %d, %s", older, out.code, out.all())
	}
}

// tally is what a client met with.
type tally struct {
	done, failed int
	gap          time.Duration // the longest between two successes
	last         error
}

func (s tally) String() string {
	text := fmt.Sprintf("%d requests, %d failed, longest gap %.2f s", s.done, s.failed, s.gap.Seconds())
	if s.last != nil {
		text += fmt.Sprintf(" (last: %v)", s.last)
	}
	return text
}

// every asks again and again until ctx is done, and then says how that went.
func every(ctx context.Context, interval time.Duration, ask func(context.Context) error) <-chan tally {
	result := make(chan tally, 1)
	go func() {
		var s tally
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		success := time.Now()
		for {
			select {
			case <-ctx.Done():
				result <- s
				return
			case <-ticks.C:
			}
			bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			err := ask(bounded)
			cancel()
			if s.done++; err != nil {
				s.failed, s.last = s.failed+1, err
				continue
			}
			s.gap, success = max(s.gap, time.Since(success)), time.Now()
		}
	}()
	return result
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
	client, err := rest.RESTClientFor(config)
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}
