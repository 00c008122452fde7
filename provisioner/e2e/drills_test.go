//go:build lab

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"provision/provisioner/verify"
)

// drills keeps three masters and two workers busy, cuts a master's power, and kills
// `provision` in the middle of a drill. PROVISION_DRILLS=all runs each drill once, which
// takes four minutes more. Of figures it judges none.
func (l *lab) drills() {
	t := l.t.(*testing.T)
	machines := []string{"m1", "m2", "m3", "w1", "w2"}
	t.Run("load", func(t *testing.T) { l.in(t).load(machines...) })
	kinds := []verify.Kind{verify.MasterPower}
	if os.Getenv("PROVISION_DRILLS") == "all" {
		kinds = verify.Kinds
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) { l.drill(t, kind, 0) })
	}
	t.Run("provision is killed", func(t *testing.T) { killedDrill(t, l) })
	for _, name := range machines {
		if left := l.on(name, "sh", "-c", "systemctl list-units --all --plain --no-legend 'provision-drill*'; nft list tables | grep drill; true"); left != "" {
			t.Errorf("%s: left behind: %s", name, left)
		}
	}
	l.provision(0, "plan")
	// WireGuard tries a handshake every 5 s: a tunnel may be a moment behind its Node.
	eventually(t, "all is well", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "status", l.file)
		return out.code == 0, out.all()
	})
}

// drill runs one and returns what it measured.
func (l *lab) drill(t testing.TB, kind verify.Kind, round int) verify.Drill {
	t.Helper()
	out := l.call(3*time.Minute, "bin/provision", "verify", l.file, "--failover", string(kind), "--yes", "--json")
	var result verify.Drill
	for line := range strings.Lines(out.stdout) {
		if strings.HasPrefix(line, `{"drill"`) {
			if err := json.Unmarshal([]byte(line), &result); err != nil {
				t.Fatal(err)
			}
		}
	}
	if out.code != 0 || !result.Passed {
		t.Errorf("%s: exit status %d\n%s", kind, out.code, out.all())
	}
	for _, m := range result.Measures {
		if m.Value == nil {
			t.Errorf("%s: %s: never", kind, m.Name)
			continue
		}
		t.Logf("%s, round %d: %s: %.2f %s", kind, round, m.Name, *m.Value, m.Unit)
	}
	return result
}

// killedDrill kills the program while a worker is cut off. The worker comes back.
func killedDrill(t *testing.T, l *lab) {
	cmd := exec.Command(filepath.Join(root, "bin/provision"), "verify", l.file, "--failover", "worker", "--yes", "--json", "--hold", "20s")
	cmd.Dir = root
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	victim := ""
	for lines := bufio.NewScanner(stdout); victim == "" && lines.Scan(); {
		var m verify.Moment
		if json.Unmarshal(lines.Bytes(), &m) == nil && strings.HasSuffix(m.What, "is not Ready any more") {
			victim = strings.Fields(m.What)[1]
		}
	}
	if err := cmd.Process.Kill(); err != nil || victim == "" {
		t.Fatalf("it ended before a Node was lost: %v", err)
	}
	if nodes := l.kubectl("get", "nodes", "--no-headers"); !strings.Contains(nodes, "NotReady") {
		t.Errorf("%s is cut off, and the nodes are\n%s", victim, nodes)
	}
	eventually(t, victim+" is back by itself", func() (bool, string) {
		nodes := l.kubectl("get", "nodes", "--no-headers")
		return strings.Count(nodes, " Ready ") == 5, nodes
	})
}

// BenchmarkDrills runs every drill for as many rounds as PROVISION_DRILL_ROUNDS
// says (10), and prints each as a JSON line.
func BenchmarkDrills(b *testing.B) {
	rounds := 10
	if text := os.Getenv("PROVISION_DRILL_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	l := newLab(b, "--masters", "3", "--workers", "2")
	l.provision(0, "up", "--yes")
	out := json.NewEncoder(os.Stdout)
	for round := range rounds {
		for _, kind := range verify.Kinds {
			result := l.drill(b, kind, round+1)
			result.Spans = nil // a picture's, and long
			if err := out.Encode(result); err != nil {
				b.Fatal(err)
			}
		}
	}
}
