//go:build lab

package e2e

import (
	"crypto/tls"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// edits changes the file of a cluster that runs, one thing after the other, and wants
// each to come true, with the restarts that the plan names and no other.
func edits(t *testing.T, l *lab) {
	const api = "provision-apiserver.service"
	before := l.pid("m1", api)
	l.insert("  api {\n    extra_sans = [\"k8s.example.org\"]\n  }\n")
	l.insert("  registry \"docker.io\" {\n    mirrors = [\"http://" + l.host() + ":5000\"]\n  }\n")
	l.insert("  sysctls = { \"net.core.somaxconn\" = 5000 }\n")
	if out := l.provision(2, "plan"); strings.Contains(out.stdout, "restart") {
		t.Errorf("names, mirrors and kernel settings need no restart:\n%s", out.stdout)
	}
	l.changed()
	if got := strings.TrimSpace(l.on("w1", "cat", "/proc/sys/net/core/somaxconn")); got != "5000" {
		t.Errorf("somaxconn is %s", got)
	}
	eventually(t, "the API server shows its new name", func() (bool, string) {
		conn, err := tls.Dial("tcp", l.address("m1")+":6443", &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			return false, err.Error()
		}
		defer conn.Close()
		names := conn.ConnectionState().PeerCertificates[0].DNSNames
		return slices.Contains(names, "k8s.example.org"), strings.Join(names, " ")
	})
	mirror(t, l)
	if after := l.pid("m1", api); after != before {
		t.Errorf("the API server was process %s and is %s", before, after)
	}

	l.insert("  kubelet {\n    max_pods = 150\n  }\n  apiserver {\n    extra_args = { \"max-requests-inflight\" = \"300\" }\n  }\n  max_unavailable = 1\n")
	const restarts = "4 restarts: apiserver on m1; kubelet on m1, then w1, then w2\n"
	if out := l.provision(2, "plan"); !strings.HasSuffix(out.stdout, restarts) {
		t.Errorf("no %q at the end of\n%s", restarts, out.stdout)
	}
	l.changed()
	eventually(t, "w2 takes 150 pods", func() (bool, string) {
		out := l.kubectl("get", "node", "w2", "-o", "jsonpath={.status.capacity.pods}")
		return out == "150", out
	})

	// What cannot work is refused, or ends where it was noticed, in the component's own words.
	file, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	before = l.pid("m1", api)
	for _, test := range []struct{ from, to, want string }{
		{`"max-requests-inflight" = "300"`, `"no-such-flag" = "1"`, "Error: unknown flag: --no-such-flag"},
		{"  kubelet {\n", "  network {\n    services = \"10.97.0.0/16\"\n  }\n  kubelet {\n", `was set up with network.services = "10.96.0.0/16"`},
	} {
		l.rewrite(strings.Replace(string(file), test.from, test.to, 1))
		if out := l.provision(1, "up", "--yes"); !strings.Contains(out.all(), test.want) {
			t.Errorf("no %q in\n%s", test.want, out.all())
		}
	}
	if after := l.pid("m1", api); after != before {
		t.Errorf("the API server was process %s and is %s, with flags that it does not know", before, after)
	}
	for _, test := range []struct{ from, to, want string }{
		{`"max-requests-inflight" = "300"`, `"max-requests-inflight" = "-1"`, "the last that it said: "},
		{"  apiserver {\n", "  scheduler {\n    extra_args = { \"secure-port\" = \"99999\" }\n  }\n  apiserver {\n", "scheduler ends again and again; the last that it said: "},
		{"max_pods = 150\n", "max_pods = 150\n settings = { cpuManagerPolicy = \"no-such-policy\" }\n", "kubelet does not start; the last that it said: "},
	} {
		l.rewrite(strings.Replace(string(file), test.from, test.to, 1))
		start := time.Now()
		out := l.provision(1, "up", "--yes")
		if took := time.Since(start); took > time.Minute {
			t.Errorf("that took %s", took)
		}
		if !strings.Contains(out.all(), test.want) {
			t.Errorf("no %q in\n%s", test.want, out.all())
		}
		t.Logf("%s", tail(out.stderr, 3))
		l.rewrite(string(file))
		l.changed()
	}
}

// mirror plays a registry's mirror, and wants to be asked for an image.
func mirror(t *testing.T, l *lab) {
	var mu sync.Mutex
	var asked []string
	server := &http.Server{Addr: l.host() + ":5000", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String())
		http.NotFound(w, r)
	})}
	go server.ListenAndServe()
	defer server.Close()
	l.kubectl("run", "mirrored", "--image=no-such-image:1", "--restart=Never")
	eventually(t, "the mirror is asked", func() (bool, string) {
		mu.Lock()
		defer mu.Unlock()
		all := strings.Join(asked, " ")
		return strings.Contains(all, "/v2/library/no-such-image/manifests/1"), all
	})
	l.kubectl("delete", "pod", "mirrored", "--wait=false")
}

// drift does to a cluster what people do, and wants one run to find and repair it all.
func drift(t *testing.T, l *lab) {
	l.on("w1", "sh", "-ec", `
		echo '# mine' >>/etc/systemd/system/provision-proxy.service
		systemctl disable -q provision-containerd
		sed -i 's/maxPods: 150/maxPods: 10/' /etc/provision/kubelet.yaml; systemctl restart provision-kubelet
		chmod 644 /etc/provision/pki/kubelet.key; chmod 755 /etc/provision/pki
		rm /etc/provision/pki/proxy.crt /etc/modules-load.d/provision.conf
		echo 100 >/proc/sys/net/core/somaxconn
		for f in /opt/provision/1*/cni/portmap; do echo more >>$f; done`)
	l.on("m1", "sh", "-ec", `systemctl stop provision-scheduler; rm /etc/provision/scheduler.yaml; chmod 640 /etc/provision/pki/cluster-ca.key`)
	l.kubectl("label", "node", "w1", "node-role.kubernetes.io/worker-")
	l.kubectl("taint", "node", "m1", "node-role.kubernetes.io/control-plane-")
	l.kubectl("patch", "clusterrole", "provision:agents", "--type=json", `-p=[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]`)
	l.kubectl("delete", "-n", "kube-system", "configmap", "coredns")
	l.kubectl("scale", "-n", "kube-system", "deployment", "metrics-server", "--replicas=0")
	l.kubectl("delete", "storageclass", "local-path")
	l.kubectl("delete", "node", "w2")
	out := l.provision(2, "plan")
	for _, want := range []string{
		"write /etc/systemd/system/provision-proxy.service", "enable containerd", "write /etc/provision/kubelet.yaml", "restart kubelet, proxy",
		"give /etc/provision/pki/kubelet.key its mode 0600 back", "give /etc/provision/pki its mode 0700 back", "issue certificates proxy",
		"write /etc/modules-load.d/provision.conf", "set sysctl net.core.somaxconn=5000", ": cni/portmap",
		"start scheduler", "write /etc/provision/scheduler.yaml", "give /etc/provision/pki/cluster-ca.key its mode 0600 back",
		"of which somebody changed ClusterRole provision:agents", "of which somebody changed ConfigMap kube-system/coredns",
		"of which somebody changed Deployment kube-system/metrics-server", "of which somebody changed StorageClass local-path",
		"set node w1", "set node m1", "set node w2",
	} {
		if !strings.Contains(out.stdout, want) {
			t.Errorf("no %q in the plan", want)
		}
	}
	t.Log(out.stdout)
	l.changed()
	if labels := l.kubectl("get", "node", "w2", "--show-labels"); !strings.Contains(labels, "kubernetes.io/os=linux") {
		t.Errorf("w2 is %s", labels)
	}
	eventually(t, "w1 takes 150 pods", func() (bool, string) {
		out := l.kubectl("get", "node", "w1", "-o", "jsonpath={.status.capacity.pods}")
		return out == "150", out
	})
}

// changed carries the file out and wants nothing to be left.
func (l *lab) changed() {
	l.t.Helper()
	l.provision(0, "up", "--yes")
	if out := l.call(time.Minute, "bin/provision", "plan", l.file); out.code != 0 {
		l.t.Fatalf("there is still to do:\n%s", out.all())
	}
}

func (l *lab) pid(machine, unit string) string {
	l.t.Helper()
	return strings.TrimSpace(l.on(machine, "systemctl", "show", "-p", "MainPID", "--value", unit))
}

// host is the address of this end of the lab's cable.
func (l *lab) host() string {
	l.t.Helper()
	address := l.address("m1")
	return address[:strings.LastIndex(address, ".")] + ".1"
}
