//go:build lab

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// insider is the test's own binary on a machine.
const insider = "/usr/local/bin/e2e-inside"

// The pod that depends on nobody but bridge0: systemd starts it with the machine,
// like a static pod without a kubelet. It has the address .250 of the machine's
// pod subnet.
const (
	handmade     = "e2e-pod"
	handmadePort = "9000"
	handmadeUnit = `[Unit]
After=provision-overlay.service
[Service]
ExecStartPre=/usr/local/bin/e2e-pod
ExecStart=/usr/bin/nsenter --net=/run/netns/e2e /usr/local/bin/e2e-inside inside answer :9000
Restart=always
RestartSec=0.1
[Install]
WantedBy=multi-user.target
`
	handmadeScript = `#!/bin/sh -e
gateway=$(ip -4 -o addr show dev bridge0 | awk '{ sub("/.*", "", $4); print $4 }')
[ -n "$gateway" ]
ip netns del e2e 2>/dev/null || true
ip link del e2e 2>/dev/null || true
ip netns add e2e
ip link add e2e mtu "$(cat /sys/class/net/bridge0/mtu)" type veth peer name eth0 netns e2e
ip link set e2e master bridge0 up
ip -n e2e link set lo up
ip -n e2e addr add "${gateway%.*}.250/24" dev eth0
ip -n e2e link set eth0 up
ip -n e2e route add default via "$gateway"
`
)

// insider puts the insider on a machine.
func (l *lab) insider(machine string) {
	l.t.Helper()
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		l.t.Fatal(err)
	}
	l.put(machine, insider, 0o755, string(program))
}

// settle puts the insider on machines, and a handmade pod.
func (l *lab) settle(machines ...string) {
	l.t.Helper()
	for _, m := range machines {
		l.insider(m)
		l.put(m, "/usr/local/bin/e2e-pod", 0o755, handmadeScript)
		l.put(m, "/etc/systemd/system/"+handmade+".service", 0o644, handmadeUnit)
		l.on(m, "sh", "-c", "systemctl daemon-reload && systemctl enable -q --now "+handmade)
	}
}

// put writes a file on a machine, which a power failure does not take away.
func (l *lab) put(machine, name string, mode os.FileMode, text string) {
	l.t.Helper()
	line := fmt.Sprintf("mkdir -p %s && cat > %s.new && chmod %o %s.new && sync %s.new && mv %s.new %s", filepath.Dir(name), name, mode, name, name, name, name)
	if out := l.callWith(time.Minute, text, "bin/lab", "ssh", machine, "--dir", l.dir, "--", line); out.code != 0 {
		l.t.Fatalf("%s: %s: %s", machine, name, out.all())
	}
}

// handmadeAddress is where a machine's handmade pod answers.
func (l *lab) handmadeAddress(machine string) string {
	l.t.Helper()
	subnet := l.overlay(machine).Subnets[0]
	a := subnet.Addr().As4()
	return fmt.Sprintf("%d.%d.%d.250:%s", a[0], a[1], a[2], handmadePort)
}

// inPod is how a command runs in a machine's handmade pod.
func (l *lab) inPod(machine string, args ...string) []string {
	return append([]string{"bin/lab", "ssh", machine, "--dir", l.dir, "--", "nsenter", "--net=/run/netns/e2e", insider, "inside"}, args...)
}

// answersFrom says whether a pod hears another one.
func (l *lab) answersFrom(machine, address string) (bool, string) {
	l.t.Helper()
	out := l.call(20*time.Second, l.inPod(machine, "call", address)...)
	return out.code == 0, out.all()
}

// speech is a conversation that goes on beside what the test does.
type speech struct {
	l        *lab
	machine  string
	enough   string
	reported chan output
}

// speak begins one, from a machine's handmade pod.
func (l *lab) speak(name, machine, address, patience string) speech {
	l.t.Helper()
	s := speech{l, machine, "/run/e2e-enough-" + name, make(chan output, 1)}
	l.on(machine, "rm", "-f", s.enough)
	go func() {
		s.reported <- l.call(15*time.Minute, l.inPod(machine, "speak", address, s.enough, patience)...)
	}()
	return s
}

func (s speech) end() conversationReport {
	s.l.t.Helper()
	s.l.on(s.machine, "touch", s.enough)
	var report conversationReport
	select {
	case out := <-s.reported:
		if err := json.Unmarshal([]byte(out.stdout), &report); err != nil {
			s.l.t.Fatalf("%v: %s", err, out.all())
		}
	case <-time.After(30 * time.Second):
		s.l.t.Fatal("the conversation does not end")
	}
	return report
}

// watchWire looks at all of the lab's cables until the returned function is called.
func (l *lab) watchWire() func() wireReport {
	l.t.Helper()
	enough := filepath.Join(l.dir, "enough")
	os.Remove(enough)
	exe, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("nsenter", "--net="+l.switchboard(), exe, "inside", "sniff", "10.244.0.0/16", enough)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	l.t.Cleanup(func() { cmd.Process.Kill() })
	return func() wireReport {
		l.t.Helper()
		if err := os.WriteFile(enough, nil, 0o600); err != nil {
			l.t.Fatal(err)
		}
		var report wireReport
		select {
		case err := <-done:
			_, text, _ := strings.Cut(stdout.String(), "\n")
			if jsonErr := json.Unmarshal([]byte(text), &report); err != nil || jsonErr != nil {
				l.t.Fatalf("%v %v: %s%s", err, jsonErr, stdout.String(), stderr.String())
			}
		case <-time.After(10 * time.Second):
			l.t.Fatal("whoever looks at the wire does not end")
		}
		return report
	}
}

// switchboard is the file of the namespace that all of the lab's cables end in.
// The lab's outside host keeps it open.
func (l *lab) switchboard() string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "lab.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	var state struct{ ID string }
	if err := json.Unmarshal(text, &state); err != nil {
		l.t.Fatal(err)
	}
	groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, name := range groups {
		group, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(group), "plab-"+state.ID+"-outside") {
			return filepath.Join(filepath.Dir(name), "fd", "3")
		}
	}
	l.t.Fatal("no process holds the lab's switch")
	return ""
}

// deviceKeys is whom a machine's wg0 has as peers.
func (l *lab) deviceKeys(machine string) []string {
	l.t.Helper()
	var keys []string
	if err := json.Unmarshal([]byte(l.on(machine, insider, "inside", "keys")), &keys); err != nil {
		l.t.Fatal(err)
	}
	return keys
}
