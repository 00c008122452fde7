//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"provision/components"
	"provision/overlay"
)

// overlayKeys changes every key of the overlay while two pods speak over one
// TCP connection.
func (l *lab) overlayKeys() {
	t := l.t.(*testing.T)
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	defer l.rewrite(string(text)) // what follows has an overlay block of its own
	c := l.connect()

	t.Run("rotation", func(t *testing.T) {
		before := map[string]overlay.Key{"m1": l.overlay("m1").PublicKey, "w1": l.overlay("w1").PublicKey}
		stream := c.begin()
		l.rotate("--yes")
		stream.survives(t, "rotation of both machines", 3*time.Second)
		for name, key := range before {
			if l.overlay(name).PublicKey == key {
				t.Errorf("%s has its old key", name)
			}
		}
		if out := l.provision(0, "up", "--yes"); !strings.Contains(out.all(), "no changes") {
			t.Errorf("after a rotation there is something to do:\n%s", out.all())
		}
	})

	t.Run("killed before the commit", func(t *testing.T) {
		key := l.overlay("m1").PublicKey
		l.on("w1", "systemctl", "kill", "-s", "STOP", "provision-overlay.service") // it learns nothing
		stream := c.begin()
		killed := l.call(time.Minute, "timeout", "-s", "KILL", "10", "bin/provision", "overlay", "rotate", l.file, "m1", "--yes")
		if killed.code == 0 || strings.Contains(killed.all(), "done in") {
			t.Fatalf("it was not killed:\n%s", killed.all())
		}
		l.on("w1", "systemctl", "kill", "-s", "CONT", "provision-overlay.service")
		prepared := l.overlay("m1")
		if prepared.PublicKey != key || prepared.NextKey == (overlay.Key{}) {
			t.Fatalf("it has %v and then %v", prepared.PublicKey, prepared.NextKey)
		}
		l.rotate("m1", "--yes")
		stream.survives(t, "a rotation that was killed, and the next", 3*time.Second)
		if s := l.overlay("m1"); s.PublicKey != prepared.NextKey || s.NextKey != (overlay.Key{}) {
			t.Errorf("the key that was prepared was not taken up: %v and then %v", s.PublicKey, s.NextKey)
		}
		l.provision(0, "plan")
	})

	t.Run("pre-shared key", func(t *testing.T) {
		for _, on := range []bool{true, false} {
			l.preshared(on)
			stream := c.begin()
			out := l.provision(0, "up", "--yes")
			stream.survives(t, fmt.Sprintf("pre-shared key %v", on), 15*time.Second)
			if !strings.Contains(out.all(), "of different ones may not reach each other, for some seconds") {
				t.Errorf("the plan does not name the interruption:\n%s", out.all())
			}
			for _, name := range []string{"m1", "w1"} {
				if l.overlay(name).Preshared != on {
					t.Errorf("%s: a pre-shared key is in use: %v, want %v", name, !on, on)
				}
			}
			key := l.on("m1", "cat", components.PresharedKey)
			if strings.Contains(out.all(), strings.TrimSpace(key)) || l.on("w1", "cat", components.PresharedKey) != key {
				t.Error("the key was printed, or differs")
			}
			if mode := l.on("w1", "stat", "-c", "%a %U", components.PresharedKey); mode != "600 root\n" {
				t.Errorf("the key's file is %s", mode)
			}
			for _, name := range []string{"m1", "w1"} {
				if log := l.on(name, "journalctl", "-q", "--no-pager", "-n", "5000"); strings.Contains(log, strings.TrimSpace(key)) {
					t.Errorf("the key is in %s's log", name)
				}
			}
			l.provision(0, "plan")
			if on {
				l.provision(0, "verify")
				l.rotate("w1", "--yes")
				l.provision(0, "overlay")
			}
		}
	})
}

// rotate runs provision overlay rotate, which must succeed.
func (l *lab) rotate(args ...string) {
	l.t.Helper()
	start := time.Now()
	out := l.call(2*time.Minute, append([]string{"bin/provision", "overlay", "rotate", l.file}, args...)...)
	l.t.Logf("provision overlay rotate %s: %.1f s", strings.Join(args, " "), time.Since(start).Seconds())
	if out.code != 0 {
		l.t.Fatalf("exit status %d\n%s", out.code, out.all())
	}
}

// overlay is what a machine's agent last wrote.
func (l *lab) overlay(machine string) overlay.Status {
	l.t.Helper()
	var s overlay.Status
	if err := json.Unmarshal([]byte(l.on(machine, "cat", overlay.StatusFile)), &s); err != nil {
		l.t.Fatal(err)
	}
	return s
}

// preshared writes the switch into the lab's file.
func (l *lab) preshared(on bool) {
	l.t.Helper()
	text, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	const block = "  version = var.version\n"
	was, is := fmt.Sprintf("  overlay { psk = %v }\n", !on), fmt.Sprintf("  overlay { psk = %v }\n", on)
	told := strings.Replace(strings.Replace(string(text), was, "", 1), block, block+is, 1)
	if err := os.WriteFile(l.file, []byte(told), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// conversation is a pod on each machine, one of which asks and one answers.
type conversation struct {
	l      *lab
	pid    string // of the asking pod's process, as m1 sees it
	server string // the other's address
}

func (l *lab) connect() conversation {
	l.t.Helper()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: %s}\nspec: {nodeName: %s, tolerations: [{operator: Exists}], containers: [{name: probe, image: %q, args: [serve, --port, %q]}]}\n---\n"
	probe := image(l.t, "probe")
	l.apply(fmt.Sprintf(pod, "near", "m1", probe, "8081") + fmt.Sprintf(pod, "far", "w1", probe, "8082"))
	c := conversation{l: l}
	eventually(l.t, "the pods serve", func() (bool, string) {
		c.server = l.kubectl("get", "pod", "far", "-o", "jsonpath={.status.podIP}")
		out := l.call(20*time.Second, "bin/lab", "ssh", "m1", "--dir", l.dir, "--", "pgrep", "-f", "serve.--port.808[1]")
		c.pid = strings.TrimSpace(out.stdout)
		return c.server != "" && c.pid != "" && !strings.Contains(c.pid, "\n"), c.server + " " + c.pid
	})
	return c
}

// speak asks over one connection, a hundred times a second, until a file says
// that it is enough; then it prints how often, and the longest time without an
// answer in microseconds.
const speak = `
rm -f /run/enough
exec 4<> <(:)
exec 3<>/dev/tcp/$1/8082 || exit 1
longest=0 count=0
last=${EPOCHREALTIME/./}
until [ -e /run/enough ]; do
  printf 'GET /healthz HTTP/1.1\r\nHost: far\r\n\r\n' >&3
  while IFS= read -r -t 60 line <&3; do [ "$line" = ok ] && break; done
  [ "$line" = ok ] || { echo "the connection was lost after $count answers"; exit 1; }
  now=${EPOCHREALTIME/./}
  (( now - last > longest )) && longest=$(( now - last ))
  last=$now count=$(( count + 1 ))
  [ $count = 5 ] && echo begun
  read -r -t 0.01 -u 4
done
echo "$count $longest"
`

type talk struct {
	conversation
	said chan output
}

// begin speaks until survives is called.
func (c conversation) begin() talk {
	c.l.t.Helper()
	k := talk{c, make(chan output, 1)}
	go func() {
		k.said <- c.l.callWith(4*time.Minute, speak, "bin/lab", "ssh", "m1", "--dir", c.l.dir, "--", "nsenter", "-t", c.pid, "-n", "bash", "-s", c.server)
	}()
	time.Sleep(2 * time.Second)
	return k
}

// survives ends the talk and checks that it was not cut.
func (k talk) survives(t *testing.T, what string, most time.Duration) {
	t.Helper()
	time.Sleep(2 * time.Second)
	k.l.on("m1", "touch", "/run/enough")
	select {
	case out := <-k.said:
		var count, longest int
		if _, err := fmt.Sscanf(strings.TrimPrefix(out.stdout, "begun\n"), "%d %d", &count, &longest); out.code != 0 || err != nil {
			t.Fatalf("%s: exit status %d: %s", what, out.code, out.all())
		}
		gap := time.Duration(longest) * time.Microsecond
		t.Logf("%s: %d answers over one TCP connection, longest gap %v", what, count, gap.Round(time.Millisecond))
		if gap > most {
			t.Errorf("%s: a gap of %v, want at most %v", what, gap, most)
		}
	case <-time.After(70 * time.Second):
		t.Fatalf("%s: the connection hangs", what)
	}
}
