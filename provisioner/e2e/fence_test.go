//go:build lab

package e2e

import (
	"strings"
	"time"
)

// fencing takes the power of a machine on which a StatefulSet's pod is. The
// pod waits, until somebody says that the machine is dead; then it moves. The
// machine comes back without it, and is fenced once more while it lives: then
// what runs on it is stopped first.
func (l *lab) fencing() {
	t := l.t
	l.apply(strings.ReplaceAll(lonely, "IMAGE", image(t, "probe")))
	l.lonelyOn("w1")

	l.provision(1, "fence", "w1", "--dead", "w1") // it answers
	l.provision(1, "fence", "m1", "--yes")        // the only master
	l.lab("kill", "w1")
	eventually(t, "w1 is not Ready, and its pod is to go", func() (bool, string) {
		got := l.kubectl("get", "pod", "lonely-0", "-o", "jsonpath={.spec.nodeName} {.metadata.deletionTimestamp}")
		return strings.HasPrefix(got, "w1 2"), got
	})
	out := l.call(time.Minute, "bin/provision", "fence", l.file, "w1", "--yes")
	if out.code != 64 || !strings.Contains(out.stderr, "no proof") {
		t.Errorf("--yes is enough: exit status %d\n%s", out.code, out.all())
	}
	time.Sleep(25 * time.Second) // longer than the collector's period, and than evict
	if got := l.kubectl("get", "pod", "lonely-0", "-o", "jsonpath={.spec.nodeName}"); got != "w1" {
		t.Fatalf("the pod moved to %q by itself", got)
	}
	start := time.Now()
	l.provision(0, "fence", "w1", "--dead", "w1")
	l.lonelyOn("w2")
	t.Logf("on another machine %.1f s after it was fenced", time.Since(start).Seconds())
	l.provision(0, "fence", "w1", "--dead", "w1") // nothing to do
	l.fenced("w1")

	l.lab("start", "w1")
	eventually(t, "w1 is Ready again", func() (bool, string) { return l.ready("w1") })
	out = l.call(2*time.Minute, "bin/provision", "up", l.file, "--yes")
	if out.code != 1 || !strings.Contains(out.stderr, "w1: left out: it is fenced") {
		t.Errorf("up: exit status %d\n%s", out.code, out.all())
	}
	l.provision(0, "fence", "w1", "--undo", "--yes")
	l.provision(0, "plan")
	l.well()

	// Living machines are stopped, and stay so.
	start = time.Now()
	l.provision(0, "fence", "w2", "--yes")
	if got := l.on("w2", "sh", "-c", "cat /sys/fs/cgroup/*/kubepods*/*/*/cgroup.procs /sys/fs/cgroup/*/provision.slice/*/cgroup.procs /sys/fs/cgroup/kubepods*/*/*/cgroup.procs 2>/dev/null | wc -l"); strings.TrimSpace(got) != "0" {
		t.Errorf("%s processes run on w2", got)
	}
	l.lonelyOn("w1")
	t.Logf("of a living machine, on another %.1f s after the command", time.Since(start).Seconds())
	l.lab("kill", "w2")
	l.lab("start", "w2")
	eventually(t, "w2 answers", func() (bool, string) {
		out := l.call(20*time.Second, "bin/lab", "ssh", "w2", "--dir", l.dir, "--", "systemctl", "is-active", "provision-kubelet", "provision-containerd", "provision.target")
		return out.code == 3 && strings.Count(out.stdout, "inactive") == 3, out.all()
	})
	l.fenced("w2")
	l.provision(0, "fence", "w2", "--undo", "--yes")
	l.provision(0, "plan")
	l.well()
}

// lonely is one pod that rather is on w1.
const lonely = `
apiVersion: v1
kind: Service
metadata: {name: lonely}
spec: {clusterIP: None, selector: {app: lonely}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: lonely}
spec:
  serviceName: lonely
  replicas: 1
  selector: {matchLabels: {app: lonely}}
  template:
    metadata: {labels: {app: lonely}}
    spec:
      affinity:
        nodeAffinity:
          preferredDuringSchedulingIgnoredDuringExecution:
            - weight: 100
              preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [w1]}]}
      containers: [{name: c, image: "IMAGE", command: [/bin/probe, sleep]}]
`

// lonelyOn waits until the StatefulSet's pod is Ready on a machine.
func (l *lab) lonelyOn(machine string) {
	l.t.Helper()
	eventually(l.t, "lonely-0 is Ready on "+machine, func() (bool, string) {
		out := l.call(30*time.Second, "bin/provision", "kubectl", l.file, "--", "get", "pod", "lonely-0", "-o",
			`jsonpath={.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}`)
		return out.stdout == machine+" True", out.all()
	})
}

func (l *lab) ready(machine string) (bool, string) {
	out := l.call(30*time.Second, "bin/provision", "kubectl", l.file, "--", "get", "node", machine, "-o",
		`jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	return out.stdout == "True", out.all()
}

// well waits until status finds nothing: tunnels need a moment to be seen to work.
func (l *lab) well() {
	l.t.Helper()
	eventually(l.t, "all is well", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "status", l.file)
		return out.code == 0, out.all()
	})
}

// fenced wants status to say so.
func (l *lab) fenced(machine string) {
	l.t.Helper()
	out := l.provision(1, "status")
	for line := range strings.Lines(out.stdout) {
		if strings.HasPrefix(line, machine+" ") && strings.Contains(line, "it is fenced") {
			return
		}
	}
	l.t.Errorf("status does not say that %s is fenced:\n%s", machine, out.all())
}
