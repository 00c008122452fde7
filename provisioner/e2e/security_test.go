//go:build lab

package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSecurity holds one cluster against what docs/security.md says of it. Its
// parts need the ones before them.
func TestSecurity(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "1")
	s := &secured{lab: l, machines: []string{"m1", "w1"}, canary: random(t)}
	s.processes = watchProcesses(t)
	s.cache = t.TempDir()
	t.Setenv("XDG_CACHE_HOME", s.cache)
	steps := []struct {
		name string
		run  func(*testing.T)
	}{
		{"an unknown host key stops everything", s.unknownHostKey},
		{"up", s.up},
		{"a changed host key stops everything", s.changedHostKey},
		{"etcd holds Secrets encrypted", s.etcdHoldsCiphertext},
		{"anonymous", s.anonymous},
		{"etcd wants a certificate of its own authority", s.etcdRefuses},
		{"no weak encryption", s.weakEncryption},
		{"a kubelet's identity", s.kubeletIdentity},
		{"an agent's and a proxy's identity", s.otherIdentities},
		{"serving certificates", s.servingCertificates},
		{"listeners", s.listeners},
		{"the benchmark's list", s.benchmark},
		{"the administrators' rights can be revoked", s.revoke},
		{"files are closed", s.filesAreClosed},
		{"no secret shows", s.nothingShows},
	}
	for _, step := range steps {
		if name := strings.ReplaceAll(step.name, " ", "_"); step.name != "up" && !strings.Contains(securityDoc(t), name) {
			t.Errorf("docs/security.md does not speak of %s", name)
		}
		if !t.Run(step.name, func(t *testing.T) {
			parent := l.t
			l.t = t
			defer func() { l.t = parent }()
			step.run(t)
		}) && step.name == "up" {
			return
		}
	}
}

// secured is a lab that remembers what was said, to look for secrets in it.
type secured struct {
	*lab
	machines  []string
	canary    string // the value of every Secret that the test makes
	said      bytes.Buffer
	processes *processes
	cache     string // the user's
}

// runs calls provision on a cluster file and remembers what it said.
func (s *secured) runs(file, command string, args ...string) output {
	s.t.Helper()
	out := s.call(3*time.Minute, append([]string{"bin/provision", command, file}, args...)...)
	s.said.WriteString(out.all())
	return out
}

func (s *secured) up(t *testing.T) {
	for _, args := range [][]string{{"plan", "--json"}, {"up", "--json"}, {"plan", "--json"}, {"status", "--json"}} {
		out := s.runs(s.file, args[0], args[1:]...)
		if out.code != 0 && out.code != 2 {
			t.Fatalf("%s: exit status %d: %s", args, out.code, out.all())
		}
	}
}

// withHostKeys writes a copy of the cluster file in which each machine's ssh
// block is what the function makes of it.
func (s *secured) withHostKeys(t *testing.T, name string, change func(machine int, block string) string) string {
	t.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	machine := -1
	changed := regexp.MustCompile(`ssh \{ host_key = "[^"]*" \}`).ReplaceAllStringFunc(string(text), func(block string) string {
		machine++
		return change(machine, block)
	})
	if machine != len(s.machines)-1 {
		t.Fatalf("%d host keys in\n%s", machine+1, text)
	}
	file := s.dir + "/" + name + ".hcl"
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// refusedBy wants every command to fail with the sentence, and nothing changed.
func (s *secured) refusedBy(t *testing.T, file, sentence, machine string, commands ...string) {
	t.Helper()
	for _, command := range commands {
		args := map[string][]string{
			"up": {"--yes"}, "down": {"--yes"}, "ssh": {machine, "--", "touch", "/root/was-here"}, "kubectl": {"--", "get", "nodes"},
		}[command]
		if out := s.runs(file, command, args...); out.code != 1 || !strings.Contains(out.all(), sentence) {
			t.Errorf("%s: exit status %d, want 1 and %q: %s", command, out.code, sentence, out.all())
		}
	}
	for _, m := range s.machines {
		s.on(m, "test", "!", "-e", "/root/was-here")
	}
}

var everyCommand = []string{"plan", "up", "status", "kubectl", "kubeconfig", "ssh", "verify", "down"}

func (s *secured) unknownHostKey(t *testing.T) {
	hosts := s.dir + "/hosts"
	file := s.withHostKeys(t, "unknown", func(int, string) string { return `ssh { known_hosts = "` + hosts + `" }` })
	if err := os.WriteFile(hosts, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.refusedBy(t, file, "is unknown", "m1", everyCommand...)
	if text, err := os.ReadFile(hosts); err != nil || len(text) > 0 {
		t.Errorf("a key was accepted though nobody asked for that: %s, %v", text, err)
	}
	for _, m := range s.machines {
		s.on(m, "test", "!", "-e", "/etc/provision")
	}
	accepting := s.withHostKeys(t, "accepting", func(int, string) string { return "ssh {\nknown_hosts = \"" + hosts + "\"\naccept_new = true\n}" })
	if out := s.runs(accepting, "plan"); out.code != 2 {
		t.Errorf("accept_new: exit status %d: %s", out.code, out.all())
	}
	text, err := os.ReadFile(hosts)
	if err != nil || bytes.Count(text, []byte("\n")) != len(s.machines) {
		t.Fatalf("accept_new kept %q, %v", text, err)
	}
	swapped := strings.NewReplacer("192.168.56.11", "192.168.56.21", "192.168.56.21", "192.168.56.11").Replace(string(text))
	if err := os.WriteFile(hosts, []byte(swapped), 0o600); err != nil {
		t.Fatal(err)
	}
	s.refusedBy(t, accepting, "has changed", "m1", "plan", "up")
}

// changedHostKey has first a worker and then the master show another key.
func (s *secured) changedHostKey(t *testing.T) {
	for i, machine := range s.machines {
		file := s.withHostKeys(t, "changed", func(m int, block string) string {
			if m != i {
				return block
			}
			return `ssh { host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC8uo5XKLbkxPX6f8b9uJ3m3nBIGSoTc1oaLF7fJ8hSA" }`
		})
		commands := slices.Clone(everyCommand)
		if machine != s.machines[0] {
			// These speak to the master alone.
			commands = slices.DeleteFunc(commands, func(c string) bool { return c == "kubectl" || c == "kubeconfig" || c == "verify" })
		}
		s.refusedBy(t, file, "has changed", machine, commands...)
	}
	for _, m := range s.machines {
		s.on(m, "systemctl", "is-active", "provision-kubelet", "provision-overlay")
	}
}

// revoke takes the administrators' binding away, which must end their rights,
// and has up give them back.
func (s *secured) revoke(t *testing.T) {
	s.kubectl("delete", "clusterrolebinding", "provision:admins")
	eventually(t, "the administrator is refused", func() (bool, string) {
		out := s.runs(s.file, "kubectl", "--", "get", "nodes")
		return out.code == 1 && strings.Contains(out.stderr, "Forbidden"), out.all()
	})
	if out := s.runs(s.file, "up", "--yes"); out.code != 0 || !strings.Contains(out.all(), "give the administrators their rights") {
		t.Fatalf("up: exit status %d: %s", out.code, out.all())
	}
	s.kubectl("get", "nodes")
	s.provision(0, "plan")
}

// benchmark runs the commands of docs/security.md on the machines: what is
// written there is what they answer.
func (s *secured) benchmark(t *testing.T) {
	text := securityDoc(t)
	_, functions, _ := strings.Cut(text, "```sh\n")
	functions, _, _ = strings.Cut(functions, "```")
	rows := regexp.MustCompile("(?m)^\\| ([0-9.a-z]+) .*\\| (m1|w1): `([^`]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(text, -1)
	if len(rows) < 40 {
		t.Fatalf("%d commands in docs/security.md", len(rows))
	}
	for _, machine := range s.machines {
		script := functions
		var mine [][]string
		for _, row := range rows {
			if row[2] == machine {
				mine = append(mine, row)
				script += "echo $(" + row[3] + ")\n"
			}
		}
		said := strings.Split(s.on(machine, "sh", "-c", script), "\n")
		for i, row := range mine {
			if i >= len(said) || said[i] != row[4] {
				t.Errorf("%s: on %s, %s says %q, not %q", row[1], machine, row[3], said[min(i, len(said)-1)], row[4])
			}
		}
	}
}

func securityDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// asJSON is a document for a request's body.
func asJSON(t *testing.T, document any) []byte {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
