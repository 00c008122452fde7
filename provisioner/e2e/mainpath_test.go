//go:build lab

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestMainPath is the whole story of one cluster, in the order in which a user
// lives it. Its parts need the ones before them.
func TestMainPath(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "2")
	l.reachOutside()
	machines := []string{"m1", "w1", "w2"}
	before := map[string]string{}
	for _, m := range machines {
		before[m] = l.traces(m)
	}
	steps := []struct {
		name string
		run  func(*testing.T)
	}{
		{"plan says what is to be done", func(t *testing.T) {
			out := l.provision(2, "plan")
			for _, want := range []string{"m1", "w2", "apiserver", "kubelet", "certificates"} {
				if !strings.Contains(out.stdout, want) {
					t.Errorf("no %q in\n%s", want, out.stdout)
				}
			}
			var document any
			if err := json.Unmarshal([]byte(l.provision(2, "plan", "--json").stdout), &document); err != nil {
				t.Errorf("plan --json: %v", err)
			}
		}},
		{"up", func(*testing.T) { l.provision(0, "up", "--yes") }},
		{"up again changes nothing", func(t *testing.T) {
			if out := l.provision(0, "up", "--yes"); !strings.Contains(out.all(), "no changes") {
				t.Errorf("said %s", out.all())
			}
			l.provision(0, "plan")
		}},
		{"nodes", func(t *testing.T) {
			nodes := l.kubectl("get", "nodes", "--no-headers")
			for name, role := range map[string]string{"m1": "control-plane", "w1": "worker", "w2": "worker"} {
				if !regexp.MustCompile(`(?m)^` + name + ` +Ready +` + role + ` `).MatchString(nodes) {
					t.Errorf("%s is not a ready %s:\n%s", name, role, nodes)
				}
			}
			info := l.kubectl("cluster-info")
			for _, want := range []string{"control plane", "CoreDNS"} {
				if !strings.Contains(info, want) {
					t.Errorf("no %q in %s", want, info)
				}
			}
		}},
		{"workload", func(t *testing.T) { workload(t, l) }},
		{"webhook", func(t *testing.T) { webhook(t, l) }},
		{"edits", func(t *testing.T) { edits(t, l) }},
		{"drift", func(t *testing.T) { drift(t, l) }},
		{"addons", func(t *testing.T) { builtin(t, l) }},
		{"addons of one's own", func(t *testing.T) { own(t, l) }},
		{"verify", func(*testing.T) { l.provision(0, "verify") }},
		{"a worker's power", func(t *testing.T) { failover(t, l) }},
		{"a changed host key stops everything", func(t *testing.T) { hostKey(t, l) }},
		{"down leaves nothing", func(t *testing.T) {
			l.provision(0, "down", "--yes")
			for _, m := range machines {
				if after := l.traces(m); after != before[m] {
					t.Errorf("%s before up:\n%s\nafter down:\n%s", m, before[m], after)
				}
			}
			l.provision(0, "down", "--yes") // twice does no harm
		}},
	}
	for _, step := range steps {
		if !t.Run(step.name, func(t *testing.T) {
			parent := l.t
			l.t = t
			defer func() { l.t = parent }()
			step.run(t)
		}) {
			return
		}
	}
}

func workload(t *testing.T, l *lab) {
	manifest, err := os.ReadFile("testdata/workload.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l.apply(strings.ReplaceAll(string(manifest), "IMAGE", image(t, "probe")))
	l.kubectl("wait", "--for=condition=Ready", "pod/all", "--timeout=60s")
	for file, want := range map[string]string{
		"/shared/from-init":    "prepared",
		"/settings/greeting":   "hello",
		"/token/token":         "sesame",
		"/host":                "",
		"/everything/greeting": "hello",
		"/everything/name":     "all",
		"/everything/sa":       "ey", // every JWT's beginning
	} {
		got := l.kubectl("exec", "all", "-c", "main", "--", "probe", "cat", file)
		if !strings.Contains(got, want) || got == "" {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}
	if logs := l.kubectl("logs", "all", "-c", "sidecar"); !strings.Contains(logs, "8081") {
		t.Errorf("the sidecar's log says %q", logs)
	}
	if env := l.kubectl("exec", "all", "-c", "main", "--", "probe", "env"); !strings.Contains(env, "POD_NAME=all") {
		t.Errorf("the environment is %s", env)
	}
	portForward(t, l)
	l.kubectl("delete", "pod/all", "secret/token", "configmap/settings", "--wait=true")
}

// portForward calls the pod through kubectl's own forwarding.
func portForward(t *testing.T, l *lab) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bin/provision", "kubectl", l.file, "--", "port-forward", "pod/all", ":8080")
	cmd.Dir = root
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); cmd.Wait() }()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("port-forward said nothing")
	}
	var port int
	if _, err := fmt.Sscanf(lines.Text(), "Forwarding from 127.0.0.1:%d", &port); err != nil {
		t.Fatalf("port-forward said %q", lines.Text())
	}
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var said struct{ Pod string }
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil || said.Pod != "all" {
		t.Errorf("the pod said %+v, %v", said, err)
	}
}

// failover cuts a worker's real power and wants the replicas to serve again.
func failover(t *testing.T, l *lab) {
	out := l.provision(0, "verify", "--failover", "worker", "--yes",
		"--power-off", "bin/lab kill {machine} --dir "+l.dir, "--power-on", "bin/lab start {machine} --dir "+l.dir)
	t.Log(out.stdout)
	eventually(t, "every node is ready again", func() (bool, string) {
		nodes := l.kubectl("get", "nodes", "--no-headers")
		return strings.Count(nodes, " Ready ") == 3, nodes
	})
}

// hostKey changes what the file says of a machine's key, as if another machine
// answered at its address.
func hostKey(t *testing.T, l *lab) {
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile(`ssh-ed25519 [A-Za-z0-9+/=]+`).FindAllString(string(text), -1)
	if len(keys) < 3 {
		t.Fatalf("%d host keys in %s", len(keys), l.file)
	}
	swapped := strings.Replace(string(text), keys[0], keys[1], 1)
	other := l.dir + "/swapped.hcl"
	if err := os.WriteFile(other, []byte(swapped), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"plan", "up"} {
		args := []string{"bin/provision", command, other}
		if command == "up" {
			args = append(args, "--yes")
		}
		out := l.call(time.Minute, args...)
		if out.code != 1 || !strings.Contains(out.stderr, "host key") {
			t.Errorf("%s: exit status %d: %s", command, out.code, out.all())
		}
	}
}

// traces lists what a cluster might leave on a machine.
func (l *lab) traces(machine string) string {
	return l.on(machine, "sh", "-c", `
		find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run/systemd -o -path /tmp -o -path /root -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd \) -prune -o -type f -print | sort
		systemctl list-unit-files --no-legend --plain | grep provision
		ip -o link | cut -d: -f2 | cut -d@ -f1 | sort
		ip -4 route
		awk '{print $2}' /proc/mounts | grep -e provision -e kubelet -e netns | sort
		find /sys/fs/cgroup -name 'kubepods*' -o -name 'provision*' | sort
		sysctl -a 2>/dev/null | grep -E '^net.core.somaxconn =|^net.ipv4.ip_forward =|^net.ipv4.conf.(all|default)'
		true`)
}
