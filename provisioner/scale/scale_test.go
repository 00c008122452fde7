//go:build linux

package scale

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/provisioner/cli"
)

// TestMain is the program itself where a test starts it: its memory is then its own.
func TestMain(m *testing.M) {
	report := os.Getenv("PROVISION_SCALE_REPORT")
	if report == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		err = os.WriteFile(report, status, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// peak reads from a process's status the most memory that it had, in MiB. What
// wait reports would begin with the memory of whoever started the process.
func peak(t testing.TB, name string) float64 {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	t.Fatalf("%s has no VmHWM", name)
	return 0
}

// measured is one command against a crowd.
type measured struct {
	Name        string  `json:"name"`
	Machines    int     `json:"machines"`
	Seconds     float64 `json:"seconds"`
	CPU         float64 `json:"cpu_seconds"`  // of the command alone
	Memory      float64 `json:"peak_rss_mib"` // of the command alone
	Connections int     `json:"connections"`  // the most at once
	Up          float64 `json:"up_mb"`        // from the operator's computer
	Down        float64 `json:"down_mb"`
	Beside      float64 `json:"between_machines_mb"`
}

// command is one of the tool's as a process of its own, which reports how it was to a file.
func (c *crowd) command(t testing.TB, out io.Writer, args ...string) (cmd *exec.Cmd, report string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report = filepath.Join(t.TempDir(), "status")
	cmd = exec.CommandContext(t.Context(), program, append(args, c.file, "--bundles", c.bundles)...)
	cmd.Env = append(os.Environ(), "PROVISION_SCALE_REPORT="+report, "SSH_AUTH_SOCK=", "HOME="+c.bundles, "XDG_CACHE_HOME="+c.bundles)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, report
}

// run runs a command to its end and wants that exit status.
func (c *crowd) run(t testing.TB, want int, args ...string) measured {
	t.Helper()
	c.link.take()
	var out bytes.Buffer
	cmd, report := c.command(t, &out, args...)
	began := time.Now()
	cmd.Run()
	took := time.Since(began)
	if code := cmd.ProcessState.ExitCode(); code != want {
		t.Fatalf("%s: exit status %d, not %d:\n%s", strings.Join(args, " "), code, want, tail(out.String()))
	}
	most, up, down, beside := c.link.take()
	return measured{
		Name: strings.Join(args, " "), Machines: len(c.cluster.Machines), Seconds: round(took.Seconds()),
		CPU:    round((cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()),
		Memory: round(peak(t, report)), Connections: most, Up: round(float64(up) / 1e6), Down: round(float64(down) / 1e6), Beside: round(float64(beside) / 1e6),
	}
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

func round(f float64) float64 { return float64(int(f*100+0.5)) / 100 }

// A dozen machines become a cluster, and then there is nothing to do.
func TestACrowd(t *testing.T) {
	c := newCrowd(t, 12, 1<<20)
	c.run(t, 2, "plan")
	if m := c.run(t, 0, "up", "--yes"); m.Up > 5 || m.Beside < 10 {
		t.Errorf("the operator's link carried %.1f MB, and %.1f MB passed between machines", m.Up, m.Beside)
	}
	for _, args := range [][]string{{"plan"}, {"up", "--yes"}} {
		if m := c.run(t, 0, args...); m.Connections > 12 {
			t.Errorf("%s: %d connections to 12 machines", m.Name, m.Connections)
		}
	}
}

// Where no machine reaches another, all of it comes from the operator, as it would without them.
func TestAWalledCrowd(t *testing.T) {
	c := newCrowd(t, 12, 1<<20)
	c.walled = true
	if m := c.run(t, 0, "up", "--yes"); m.Up < 12 || m.Beside > 0 {
		t.Errorf("the operator's link carried %.1f MB, and %.1f MB passed between machines", m.Up, m.Beside)
	}
	c.run(t, 0, "plan")
}

// Machines that join get it from those that are there.
func TestACrowdGrows(t *testing.T) {
	c := newCrowd(t, 12, 1<<20)
	all, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	some, _, _ := strings.Cut(string(all), `machine "w3"`)
	if err := os.WriteFile(c.file, []byte(some), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, 0, "up", "--yes")
	if err := os.WriteFile(c.file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	if m := c.run(t, 0, "up", "--yes"); m.Up > 3 || m.Beside < 10 {
		t.Errorf("the operator's link carried %.1f MB, and %.1f MB passed between machines", m.Up, m.Beside)
	}
}

// say prints one JSON object.
func say(name string, m measured) {
	m.Name = name
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // numbers and a string always marshal
	}
	fmt.Println(string(text))
}

// Ctrl-C while the first get the bundle, and the others wait for them, leaves what
// the next run goes on from.
func TestAStoppedCrowd(t *testing.T) {
	c := newCrowd(t, 12, 1<<20)
	c.link.rate = 1e6
	var out bytes.Buffer
	cmd, _ := c.command(t, &out, "up", "--yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); c.unpacking.Load() < 2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "stopped in machines") {
		t.Errorf("exit status %d:\n%s", code, tail(out.String()))
	}
	c.link.rate = 0
	c.run(t, 0, "up", "--yes")
	c.run(t, 0, "plan")
}

// BenchmarkCrowd measures plan and up with nothing in between but the processor.
func BenchmarkCrowd(b *testing.B) {
	for _, n := range []int{10, 100, 500} {
		c := newCrowd(b, n, 1<<20)
		say("plan of bare machines", c.run(b, 2, "plan"))
		say("up of bare machines", c.run(b, 0, "up", "--yes"))
		say("plan without change", c.run(b, 0, "plan"))
		say("up without change", c.run(b, 0, "up", "--yes"))
		c = newCrowd(b, n, 1<<20)
		say("up of bare machines, all from the operator", c.run(b, 0, "up", "--yes", "--fan-out=false"))
	}
}

// BenchmarkLink is a first up over a link of 100 Mbit/s, to machines on which a
// command takes 20 ms, with a bundle of 8 MiB.
func BenchmarkLink(b *testing.B) {
	for _, n := range []int{10, 100} {
		for name, fanOut := range map[string]string{"up over 100 Mbit/s": "true", "up over 100 Mbit/s, all from the operator": "false"} {
			c := newCrowd(b, n, 8<<20)
			c.pause, c.link.rate = 20*time.Millisecond, 100e6/8
			say(name, c.run(b, 0, "up", "--yes", "--fan-out="+fanOut))
		}
	}
}
