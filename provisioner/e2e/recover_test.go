//go:build lab

package e2e

import "strings"

// recovery loses two of three masters for good, begins again with the data of
// the third, and grows back: with every object and its UID, with pods that never
// stopped, and with watches that hear of what comes after.
func (l *lab) recovery() {
	t := l.t
	l.voters("m1", "m2", "m3")
	l.write("lost")
	l.apply(recoverWorkload(image(t, "probe")))
	eventually(t, "the workload runs", func() (bool, string) {
		out := l.kubectl("get", "daemonset", "kept", "-o", "jsonpath={.status.numberReady}")
		return out == "5", out
	})
	pod := l.kubectl("get", "pods", "-l", "app=kept", "--field-selector", "spec.nodeName=m3", "-o", podIdentity)

	refused := func(wants string, args ...string) {
		t.Helper()
		if out := l.provision(1, "recover", args...); !strings.Contains(out.stderr, wants) {
			t.Errorf("recover %s: %q does not say %q", strings.Join(args, " "), out.stderr, wants)
		}
	}
	refused("has a quorum, so nothing is to be recovered", "--from", "m3", "--yes")
	l.provision(64, "recover", "--from", "m7")

	// Two that answer are enough, whatever runs on them.
	l.lab("kill", "m1")
	l.on("m2", "systemctl", "stop", "provision-apiserver", "provision-etcd")
	refused("enough for a quorum", "--from", "m3", "--yes")

	l.lab("kill", "m2")
	out := l.provision(64, "recover", "--from", "m3") // nobody to type the name
	for _, wants := range []string{"keys at revision", "Forgotten: m1, m2", "begin a new cluster with its data"} {
		if !strings.Contains(out.stdout, wants) {
			t.Errorf("before it asks: %q is not in\n%s", wants, out.stdout)
		}
	}

	// A run that dies in the middle has done nothing, and the next one is enough.
	l.on("m3", "sh", "-c", "systemctl stop provision-apiserver provision-etcd; cp -a /var/lib/provision/etcd /root/as-it-was; "+
		"timeout -s KILL 0.7 /opt/provision/*/bin/node etcd-recover begin kept-20000101T000000Z --token killed; true")
	l.provision(0, "recover", "--from", "m3", "--yes")
	l.kept("m3 began again alone")
	l.write("alone")
	if got := l.on("m3", "sh", "-c", "ls -d /var/lib/provision/etcd/*; diff -r /root/as-it-was/member /var/lib/provision/etcd/kept-2*/member && echo unchanged"); strings.Count(got, "kept-") != 1 || !strings.Contains(got, "unchanged") || strings.Contains(got, "recovering") {
		t.Errorf("beside the data:\n%s", got)
	}

	// A disk of the old cluster is refused, until it is a blank one.
	l.lab("start", "m1")
	l.lab("replace", "m2")
	old := l.provision(1, "plan")
	if !strings.Contains(old.stderr, "m1: ") || !strings.Contains(old.stderr, "delete /var/lib/provision/etcd on it") {
		t.Errorf("an old disk: %s", old.all())
	}
	l.lab("kill", "m1")
	l.lab("replace", "m1")

	watch := l.start("kubectl", "--", "get", "configmaps", "-l", "kept", "--watch", "-o", "name")
	eventually(t, "a watch begins", func() (bool, string) {
		return strings.Contains(watch.stdout.String(), "kept-alone-0"), watch.stdout.String()
	})
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	l.kept("two blank machines came to m3")
	l.voters("m1", "m2", "m3")
	l.write("after")
	eventually(t, "a watch from before hears of what is new", func() (bool, string) {
		return strings.Contains(watch.stdout.String(), "kept-after-0"), watch.stdout.String() + watch.stderr.String()
	})
	if now := l.kubectl("get", "pods", "-l", "app=kept", "--field-selector", "spec.nodeName=m3", "-o", podIdentity); now != pod {
		t.Errorf("the pod on m3 is %q, and was %q", now, pod)
	}
	// Controllers and kubelets watch as well: a change comes all the way to new pods.
	l.kubectl("rollout", "restart", "daemonset", "kept")
	l.kubectl("rollout", "status", "daemonset", "kept", "--timeout=90s")
	l.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=30s")
	refused("has a quorum, so nothing is to be recovered", "--from", "m3", "--yes")
}

// podIdentity shows a pod that is the same one, and whose containers never died.
const podIdentity = "jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[0].containerID}{end}"

func recoverWorkload(image string) string {
	return `apiVersion: apps/v1
kind: DaemonSet
metadata: {name: kept}
spec:
  selector: {matchLabels: {app: kept}}
  updateStrategy: {rollingUpdate: {maxUnavailable: 100%}}
  template:
    metadata: {labels: {app: kept}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations: [{operator: Exists}]
      containers:
      - {name: probe, image: "` + image + `", imagePullPolicy: Never, args: [serve]}
`
}
