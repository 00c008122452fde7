//go:build lab

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sent is how many bytes have left for the machines.
func (l *lab) sent() int {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/class/net", l.cable(), "statistics/tx_bytes"))
	if err != nil {
		l.t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// TestFanOut: a first `up` over a slow cable, among machines of which one lets nobody
// come to any port that the cluster does not name, and another goes to none.
func TestFanOut(t *testing.T) {
	l := newLab(t, "--masters", "1", "--workers", "5", "--flavor", "docker") // for its nft
	const table = "table inet walls { chain c { type filter hook %s priority 0; tcp dport 32768-60999 ct state new drop; }; }"
	l.on("w4", "nft", fmt.Sprintf(table, "output"))
	l.on("w5", "nft", fmt.Sprintf(table, "input"))
	l.slow(100)
	before := l.sent()
	l.provision(0, "up", "--yes")
	l.slow(0)
	sent, whole := l.sent()-before, bundleSize(t)
	t.Logf("sent %.1f MB to six machines; the bundle is %.1f MB", float64(sent)/1e6, float64(whole)/1e6)
	// Twice to begin with and once to w4, with the agent beside it, and half a bundle for the rest.
	if sent > 9*whole/2 {
		t.Error("that is more than to three of them")
	}
	l.provision(0, "plan")
	for _, machine := range []string{"m1", "w1", "w2", "w3", "w4", "w5"} {
		if left := l.on(machine, "sh", "-c", "pgrep -f '[a]gent serve' || true"); left != "" {
			t.Errorf("%s still gives: process %s", machine, left)
		}
		if left := l.on(machine, "sh", "-c", "ls -A /opt/provision | grep tmp || true"); left != "" {
			t.Errorf("%s: left behind: %s", machine, left)
		}
	}
}

// BenchmarkFanOut compares a first `up` of six machines over 100 Mbit/s with and
// without it, one JSON object a line.
func BenchmarkFanOut(b *testing.B) {
	l := newLab(b, "--masters", "1", "--workers", "5")
	for _, fanOut := range []string{"true", "false"} {
		l.slow(100)
		before, began := l.sent(), time.Now()
		l.provision(0, "up", "--yes", "--fan-out="+fanOut)
		took, sent := time.Since(began), l.sent()-before
		l.slow(0)
		fmt.Printf("{\"name\":\"up of 6 machines over 100 Mbit/s\",\"fan_out\":%s,\"seconds\":%.1f,\"sent_mb\":%.1f}\n", fanOut, took.Seconds(), float64(sent)/1e6)
		l.provision(0, "down", "--yes")
	}
}
