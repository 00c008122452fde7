//go:build lab

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func random(t *testing.T) string {
	t.Helper()
	text := make([]byte, 16)
	if _, err := rand.Read(text); err != nil {
		t.Fatal(err)
	}
	return "canary-" + hex.EncodeToString(text)
}

// processes is every command line and environment seen in /proc while a test
// runs. The machines' processes are among this machine's.
type processes struct {
	mu   sync.Mutex
	seen map[string]bool
}

// watchProcesses looks fifty times a second until the test ends.
func watchProcesses(t *testing.T) *processes {
	p := &processes{seen: map[string]bool{}}
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		looks := map[string]int{} // at each process
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				p.look(looks)
			}
		}
	}()
	return p
}

// look reads what is young every time, since it may yet become another program,
// and what is old now and then.
func (p *processes) look(looks map[string]int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return
	}
	for _, id := range names {
		if id[0] < '0' || id[0] > '9' {
			continue
		}
		looks[id]++
		if looks[id] > 10 && looks[id]%100 != 0 {
			continue
		}
		line, err := os.ReadFile("/proc/" + id + "/cmdline")
		if err != nil || len(line) == 0 {
			continue // gone, or a kernel thread
		}
		environment, err := os.ReadFile("/proc/" + id + "/environ")
		if err != nil {
			environment = nil // gone meanwhile
		}
		p.mu.Lock()
		p.seen[string(line)+"\n"+string(environment)] = true
		p.mu.Unlock()
	}
}

// all is what was seen so far.
func (p *processes) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var text strings.Builder
	for line := range p.seen {
		text.WriteString(line + "\n")
	}
	return text.String()
}

// secretFiles are the files whose content must show nowhere.
var secretFiles = map[string]string{
	"m1": "/etc/provision/pki/*.key /etc/provision/pki/encryption.yaml /var/lib/provision/overlay/private.key /var/lib/kubelet/pki/*.pem",
	"w1": "/etc/provision/pki/*.key /var/lib/provision/overlay/private.key /var/lib/kubelet/pki/*.pem",
}

// secrets returns pieces that only the secrets hold, by where each is from.
func (s *secured) secrets(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"the Secrets' value": s.canary, "the Secrets' value in base64": base64.StdEncoding.EncodeToString([]byte(s.canary))[:40]}
	add := func(name string, content []byte) {
		pieces := pieces(content)
		if len(pieces) == 0 {
			t.Errorf("%s: no secret in it", name)
		}
		for i, piece := range pieces {
			found[name+strings.Repeat("'", i)] = piece
		}
	}
	for machine, files := range secretFiles {
		for _, name := range strings.Fields(s.on(machine, "sh", "-c", "ls "+files)) {
			add(machine+":"+name, []byte(s.on(machine, "cat", name)))
		}
	}
	key, err := os.ReadFile(s.dir + "/id_ed25519")
	if err != nil {
		t.Fatal(err)
	}
	add("the user's SSH key", key)
	return found
}

// pieces of a key file: a line of its PEM that others do not have, the middle of
// the whole in base64 as a kubeconfig holds it, or a key that stands alone.
func pieces(content []byte) []string {
	at := bytes.Index(content, []byte("-----BEGIN "))
	for at >= 0 {
		block := content[at:]
		if head, _, _ := bytes.Cut(block, []byte("\n")); bytes.Contains(head, []byte("PRIVATE KEY")) {
			lines := strings.Split(string(block), "\n")
			line := lines[1]
			if strings.Contains(lines[0], "OPENSSH") {
				line = lines[3] // the first are alike in all such files, or public
			}
			return []string{line, base64.StdEncoding.EncodeToString(block)[44:108]}
		}
		next := bytes.Index(block[1:], []byte("-----BEGIN "))
		if next < 0 {
			return nil
		}
		at += 1 + next
	}
	return regexp.MustCompile(`[A-Za-z0-9+/]{42,43}=`).FindAllString(string(content), -1)
}

// nothingShows looks for every secret wherever somebody might see it.
func (s *secured) nothingShows(t *testing.T) {
	secrets := s.secrets(t)
	places := map[string]string{"what provision said": s.said.String(), "a process's arguments or environment": s.processes.all()}
	cached, err := exec.CommandContext(t.Context(), "sh", "-c", `find "$1" -type f -exec cat {} +`, "-", s.cache).Output()
	if err != nil {
		t.Fatal(err)
	}
	places["the user's cache"] = string(cached)
	for _, machine := range s.machines {
		places[machine+"'s journal"] = s.on(machine, "journalctl", "-q", "--no-pager", "-o", "cat", "--all")
		places[machine+"'s records"] = s.on(machine, "sh", "-c",
			"cat /var/lib/provision/journal/* /var/lib/provision/lock/* /var/lib/provision/stamps/* /run/provision/overlay/status.json; cat /var/lib/provision/audit/* 2>/dev/null; true")
		// Whatever nobody in particular may read, binaries and their data left out.
		places[machine+"'s open files"] = s.on(machine, "runuser", "-u", "nobody", "--", "sh", "-c",
			"cd /; find /etc /var /run /tmp /home /opt -type f -readable -size -1000k -exec cat {} + 2>/dev/null; true")
	}
	for place, text := range places {
		if len(text) == 0 {
			t.Errorf("%s: nothing to look at", place)
		}
		for name, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %s", place, name)
			}
		}
	}
	// The search finds what there is to be found.
	if !strings.Contains(places["a process's arguments or environment"], "--encryption-provider-config") {
		t.Error("no API server among the processes")
	}
	if audit := places["m1's records"]; !strings.Contains(audit, `"resource":"secrets","namespace":"default","name":"here"`) {
		t.Error("the audit log does not say who used a Secret")
	} else if strings.Contains(audit, "requestObject") || strings.Contains(audit, "responseObject") {
		t.Error("the audit log holds bodies")
	}
	t.Logf("%d pieces of secrets, %d processes, %d places", len(secrets), len(s.processes.seen), len(places))
}

// filesAreClosed walks our folders and upstream's.
func (s *secured) filesAreClosed(t *testing.T) {
	for _, machine := range s.machines {
		script := `
			find /etc/provision /var/lib/provision /run/provision /var/lib/kubelet -type f -perm /077 -size -1000k -not -path '*/io.containerd.*' -exec grep -lE 'PRIVATE KEY|secret:' {} +
			find /etc/provision /var/lib/provision -type f -name '*key*' -perm /077 -not -path '*/io.containerd.*' -not -name '*.pub'
			find /etc/provision /var/lib/provision /opt/provision /etc/systemd/system/provision* \( -not -user root -o -not -group root -o -perm /022 \) -not -type l -not -path '*/io.containerd.*' -not -path '/var/lib/provision/containerd/*'
			for d in /etc/provision/pki /var/lib/provision/etcd /var/lib/provision/audit /var/lib/provision/overlay /var/lib/provision/containerd; do
				[ ! -e $d ] || [ "$(stat -c %a $d)" = 700 ] || stat -c '%a %n' $d
			done
			true`
		if open := strings.TrimSpace(s.on(machine, "sh", "-c", script)); open != "" {
			t.Errorf("on %s somebody else than root may read or write\n%s", machine, open)
		}
		if keys := strings.Fields(s.on(machine, "sh", "-c", "grep -rl 'PRIVATE KEY' /etc/provision")); len(keys) < 3 {
			t.Errorf("%s: the search finds no keys: %v", machine, keys)
		}
	}
}

// listeners compares what listens beyond loopback with what must.
func (s *secured) listeners(t *testing.T) {
	worker := []string{"tcp 22", "tcp 6444", "tcp 10250", "tcp 10256", "udp 51820", "tcp 51821", "udp 51821"}
	want := map[string][]string{"m1": slices.Concat(worker, []string{"tcp 2379", "tcp 2380", "tcp 6443"}), "w1": worker}
	for _, machine := range s.machines {
		var got []string
		for line := range strings.Lines(s.on(machine, "ss", "-Hltun")) {
			fields := strings.Fields(line)
			colon := strings.LastIndex(fields[4], ":")
			host, port := fields[4][:colon], fields[4][colon+1:]
			if strings.HasPrefix(host, "127.") || host == "[::1]" {
				continue
			}
			if host == "0.0.0.0" || host == "[::]" || host == "*" {
				if port != "22" && port != "51820" {
					t.Errorf("%s: %s", machine, line)
				}
			}
			if port == "6444" && host != "192.0.0.11" {
				t.Errorf("%s: the balancer listens at %s", machine, host)
			}
			if port == "51821" && !strings.HasPrefix(host, "10.244.") {
				t.Errorf("%s: the overlay's agent listens at %s", machine, host)
			}
			got = append(got, fields[0]+" "+port)
		}
		slices.Sort(got)
		got = slices.Compact(got)
		slices.Sort(want[machine])
		if !slices.Equal(got, want[machine]) {
			t.Errorf("%s listens at %q, want %q", machine, got, want[machine])
		}
	}
}
