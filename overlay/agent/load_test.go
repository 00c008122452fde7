//go:build lab

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// loadTime is how long the streams last: OVERLAY_LOAD, "60s" where it is not set.
func loadTime() string {
	if d := os.Getenv("OVERLAY_LOAD"); d != "" {
		return d
	}
	return "60s"
}

// BenchmarkTwentyPeers is one userspace device under full load: a TCP stream to
// each of 20 machines and one from each. It reports the most memory that the
// device's process ever held, and what it carried.
func BenchmarkTwentyPeers(b *testing.B) {
	machines := newLab(b, 21)
	introduceAll(b, machines)
	for _, m := range machines {
		m.plugPod()
	}
	hub, duration := machines[0], loadTime()
	for b.Loop() {
		var mu sync.Mutex
		var all sync.WaitGroup
		bytes := 0
		for _, m := range machines[1:] {
			for _, way := range [][2]*machine{{hub, m}, {m, hub}} {
				all.Go(func() {
					out, err := inFor(5*time.Minute, way[0].pod, "stream", way[1].podAddress+":8080", duration)
					mu.Lock()
					defer mu.Unlock()
					n, bad := strconv.Atoi(out)
					if err != nil || bad != nil {
						b.Errorf("%s to %s: %v: %s", way[0].name, way[1].name, err, out)
					}
					bytes += n
				})
			}
		}
		start := time.Now()
		all.Wait()
		b.ReportMetric(float64(bytes)*8/1e6/time.Since(start).Seconds(), "Mbit/s")
	}
	b.ReportMetric(float64(hub.wire.memory(b, "VmHWM"))/1024, "MiB-peak")
	b.ReportMetric(float64(hub.wire.memory(b, "VmRSS"))/1024, "MiB-after")
}

// introduceAll has machines announce themselves and admit each other.
func introduceAll(t testing.TB, machines []*machine) {
	t.Helper()
	introduce(t, machines)
	for _, m := range machines {
		eventually(t, m.name+" announces itself", 30*time.Second, func() bool {
			_, err := os.Stat(filepath.Join(m.config.RunDir, "announcement.json"))
			return err == nil
		})
	}
	introduce(t, machines)
	for _, m := range machines {
		eventually(t, m.name+" has its peers", 30*time.Second, func() bool { return len(m.status().Peers) == len(machines)-1 })
	}
}

// memory returns a line of the process's status, in KiB.
func (p *process) memory(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name+":"); found {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s in its status", name)
	return 0
}

// BenchmarkSilentPeers floods machines that are off: what waits for their
// sessions is held by the device.
func BenchmarkSilentPeers(b *testing.B) {
	machines := newLab(b, 6)
	introduceAll(b, machines)
	hub, duration := machines[0], loadTime()
	for _, m := range machines[1:] {
		m.agent.end(syscall.SIGKILL)
		m.wire.end(syscall.SIGKILL)
	}
	hub.plugPod()
	hub.wire.end(syscall.SIGKILL) // with its sessions
	hub.wire = hub.start("wireguard")
	for b.Loop() {
		var all sync.WaitGroup
		for _, m := range machines[1:] {
			all.Go(func() {
				if out, err := inFor(5*time.Minute, hub.pod, "flood", m.podAddress+":8080", duration); err != nil {
					b.Errorf("%v: %s", err, out)
				}
			})
		}
		all.Wait()
	}
	b.ReportMetric(float64(hub.wire.memory(b, "VmHWM"))/1024, "MiB-peak")
	b.ReportMetric(float64(hub.wire.memory(b, "VmRSS"))/1024, "MiB-after")
}
