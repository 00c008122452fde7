//go:build lab

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// leaving takes machines out of the file: a worker whose pods have a budget, a
// master that runs, and two whose power is gone. Each time the others go on, whoever
// answers is as blank as it was, and whoever comes back is no Node again. In the end all that
// is left is taken down.
func (l *lab) leaving() {
	t, before := l.t.(*testing.T), l.untouched
	l.apply(fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}},
		"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"web","image":%q,"args":["serve"]}]}}}}
---
{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web"},"spec":{"minAvailable":1,"selector":{"matchLabels":{"app":"web"}}}}
`, image(t, "probe")))
	l.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

	t.Run("a worker", func(t *testing.T) {
		l := l.in(t)
		l.forget("w2")
		plan := l.provision(2, "plan").stdout
		for _, line := range []string{"close node w2", "stop everything of ours", "delete node w2"} {
			if !strings.Contains(plan, line) {
				t.Errorf("the plan does not say %q:\n%s", line, plan)
			}
		}
		l.provision(0, "up", "--yes")
		l.left("w2", 4, before["w2"])
		l.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
	})
	m3 := ""
	t.Run("a master that runs", func(t *testing.T) {
		l := l.in(t)
		m3 = l.forget("m3")
		l.provision(0, "up", "--yes")
		l.left("m3", 3, before["m3"])
	})
	t.Run("a master and a worker without power", func(t *testing.T) {
		l := l.in(t)
		l.restore(m3) // blank, and back: two of three are a quorum without m2
		l.provision(0, "up", "--yes")
		gone, w1 := []string{"m2", "w1"}, ""
		for _, name := range gone {
			l.lab("kill", name)
			w1 = l.forget(name) // the last of them
		}
		eventually(t, "they count as lost", func() (bool, string) {
			nodes := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "get", "nodes", "--no-headers")
			return strings.Count(nodes.stdout, "NotReady") == len(gone), nodes.all()
		})
		l.provision(0, "up", "--yes")
		for _, name := range gone {
			l.left(name, 2, "")
		}
		// They come back, and know nothing of all this.
		for _, name := range gone {
			l.lab("start", name)
		}
		eventually(t, "w1's kubelet is told that it left", func() (bool, string) {
			log := l.call(time.Minute, "bin/lab", "ssh", "w1", "--dir", l.dir, "--", "journalctl", "-q", "-b", "-u", "provision-kubelet", "--no-pager")
			return strings.Contains(log.stdout, "Unable to register node"), tail(log.all(), 3)
		})
		for _, name := range gone {
			l.left(name, 2, "")
		}
		// And are cleaned by a file of their own.
		text, err := os.ReadFile(l.file)
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(string(text), "\nmachine ")
		alone := l.in(t)
		alone.file = l.dir + "/alone.hcl"
		alone.rewrite(head + "\n" + strings.Replace(w1, `role    = "worker"`, "", 1))
		alone.provision(0, "down", "--yes")
		if after := l.traces("w1"); after != before["w1"] {
			t.Errorf("w1 is not as it was; before:\n%s\nafter:\n%s", before["w1"], after)
		}
	})
	t.Run("all that is left", func(t *testing.T) {
		l := l.in(t)
		l.provision(0, "down", "--yes")
		for _, name := range []string{"m1", "m3"} {
			if after := l.traces(name); after != before[name] {
				t.Errorf("%s is not as it was; before:\n%s\nafter:\n%s", name, before[name], after)
			}
		}
	})
}

// forget takes a machine out of the file and returns its block.
func (l *lab) forget(name string) string {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	block := regexp.MustCompile(`(?ms)^machine "` + name + `" \{.*?^\}\n`).FindString(string(text))
	if block == "" {
		l.t.Fatalf("%s has no machine %s:\n%s", l.file, name, text)
	}
	l.rewrite(strings.Replace(string(text), block, "", 1))
	return block
}

// restore puts a block back.
func (l *lab) restore(block string) {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	l.rewrite(string(text) + block)
}

func (l *lab) rewrite(text string) {
	l.t.Helper()
	if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// left wants a machine out of the cluster, the rest well and settled, and the machine
// as it was before, where that is known.
func (l *lab) left(name string, nodes int, before string) {
	t := l.t
	t.Helper()
	names := l.kubectl("get", "nodes", "-o", "name")
	if strings.Contains(names, "/"+name+"\n") || strings.Count(names, "node/") != nodes {
		t.Errorf("nodes without %s: %s", name, names)
	}
	// Machines of a lab share a kernel: what went back there, where one was cleaned, is set again.
	if plan := l.call(time.Minute, "bin/provision", "plan", l.file); plan.code != 0 && !strings.Contains(plan.stdout, "set sysctl kernel.panic") {
		t.Errorf("there is more to do: %s", plan.all())
	}
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	eventually(t, "all is well", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "status", l.file)
		return out.code == 0, out.all()
	})
	if before != "" {
		if after := l.traces(name); after != before {
			t.Errorf("%s is not as it was; before:\n%s\nafter:\n%s", name, before, after)
		}
	}
}
