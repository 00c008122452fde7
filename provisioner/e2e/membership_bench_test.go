//go:build lab

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"provision/components"
)

// BenchmarkMembership measures a cluster of three machines: what the overlay's
// two units take while nothing happens, and how long it is from a Node's end, and
// from its return, to every other machine's wg0. It prints what testenv/bench.sh
// prints, and judges nothing.
//
//	go test -tags lab -run '^$' -bench Membership ./provisioner/e2e
func BenchmarkMembership(b *testing.B) {
	const rounds = 7
	l := newLab(b, "--masters", "1", "--workers", "2")
	l.provision(0, "up", "--yes")
	for _, m := range []string{"m1", "w1", "w2"} {
		l.insider(m)
	}
	for b.Loop() {
		time.Sleep(30 * time.Second) // what a new cluster has to do first
		var all sync.WaitGroup
		for _, m := range []string{"m1", "w1", "w2"} {
			all.Go(func() { l.atRest(m, time.Minute) })
		}
		all.Wait()
		l.membership(rounds)
	}
}

// figure prints one line of the benchmark.
func figure(name string, value float64, unit string, round int) {
	fmt.Printf("{\"name\":%q,\"value\":%.2f,\"unit\":%q,\"round\":%d}\n", name, value, unit, round)
}

// atRest prints what the overlay's units hold and use.
func (l *lab) atRest(machine string, length time.Duration) {
	l.t.Helper()
	out := l.call(length+time.Minute, "bin/lab", "ssh", machine, "--dir", l.dir, "--", fmt.Sprintf(`
		used() { cat /proc/$1/task/*/schedstat | awk '{ s += $1 } END { printf "%%d", s }'; }
		for u in overlay wireguard; do eval $u=$(systemctl show -p MainPID --value provision-$u); done
		a=$(used $overlay) b=$(used $wireguard)
		sleep %d
		a=$(( $(used $overlay) - a )) b=$(( $(used $wireguard) - b ))
		kib() { awk -v k="$2:" '$1 == k { print $2 }' /proc/$1/$3; }
		echo overlay $(kib $overlay VmRSS status) $(kib $overlay Pss smaps_rollup) $a
		echo wireguard $(kib $wireguard VmRSS status) $(kib $wireguard Pss smaps_rollup) $b`, int(length.Seconds())))
	for line := range strings.Lines(out.stdout) {
		var unit string
		var rss, pss, used float64
		if _, err := fmt.Sscan(line, &unit, &rss, &pss, &used); err != nil {
			l.t.Errorf("%s: %q: %v", machine, out.all(), err)
			return
		}
		name := fmt.Sprintf("at-rest/%s/%s/", machine, unit)
		figure(name+"rss", rss/1024, "MiB", 1)
		figure(name+"pss", pss/1024, "MiB", 1)
		figure(name+"cpu", used/1e9*float64(time.Minute)/float64(length), "s/min", 1)
	}
}

// membership takes w2's Node away and has it made again, several times.
func (l *lab) membership(rounds int) {
	l.t.Helper()
	const enough, kubeconfig = "/run/e2e-enough", "/run/e2e-admin.kubeconfig"
	l.put("m1", kubeconfig, 0o600, fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
		"clusters":[{"name":"x","cluster":{"server":"https://127.0.0.1:6444","certificate-authority":"%[1]s/cluster-ca.crt"}}],
		"users":[{"name":"x","user":{"client-certificate":"%[1]s/admin.crt","client-key":"%[1]s/admin.key"}}]}`, components.Etc+"/pki"))
	others := []string{"m1", "w1"}
	key := l.overlay("w2").PublicKey.String()
	devices := map[string]chan []change{}
	for _, m := range others {
		l.on(m, "rm", "-f", enough)
		devices[m] = l.following(m, "peers", key, enough)
	}
	nodes := l.following("m1", "nodes", kubeconfig, "w2", enough)
	everywhere := func(what string, want bool) {
		eventually(l.t, what, func() (bool, string) {
			for _, m := range others {
				if slices.Contains(l.deviceKeys(m), key) != want {
					return false, m
				}
			}
			return true, ""
		})
	}
	everywhere("w2 is known", true)
	var asked []change
	for range rounds {
		var c change
		if err := json.Unmarshal([]byte(l.on("m1", insider, "inside", "delete", kubeconfig, "w2")), &c); err != nil {
			l.t.Fatal(err)
		}
		asked = append(asked, c)
		everywhere("w2 is forgotten", false)
		l.on("w2", "systemctl", "restart", "provision-kubelet")
		everywhere("w2 is known again", true)
	}
	for _, m := range others {
		l.on(m, "touch", enough)
	}
	node := <-nodes
	made, announced := times(node, "made"), times(node, "announced")
	for _, m := range others {
		seen := <-devices[m]
		with, without := times(seen, "with"), times(seen, "without")
		var gone, come, told []float64
		for i, a := range asked {
			gone = append(gone, between(a.At, without))
			begun := after(a.At, made)
			come = append(come, between(begun, with))
			// May be less than 0, where the agent had it before the one who looks.
			told = append(told, float64(after(begun, with)-after(begun, announced))/1e6)
			figure("delete-node-to-device/"+m, gone[i], "ms", i+1)
			figure("new-node-to-device/"+m, come[i], "ms", i+1)
			figure("announcement-to-device/"+m, told[i], "ms", i+1)
		}
		l.t.Logf("%s: from kubectl delete node to the device %s; from the new Node %s, of which from its announcement %s", m, spread(gone), spread(come), spread(told))
	}
}

// following runs a follower on a machine until its file says that it is enough.
func (l *lab) following(machine string, args ...string) chan []change {
	l.t.Helper()
	result := make(chan []change, 1)
	go func() {
		var list []change
		out := l.call(10*time.Minute, append([]string{"bin/lab", "ssh", machine, "--dir", l.dir, "--", insider, "inside"}, args...)...)
		for line := range strings.Lines(out.stdout) {
			var c change
			if json.Unmarshal([]byte(line), &c) == nil {
				list = append(list, c)
			}
		}
		result <- list
	}()
	return result
}

// times are those at which something was said.
func times(list []change, said string) (at []int64) {
	for _, c := range list {
		if c.Said == said {
			at = append(at, c.At)
		}
	}
	return at
}

// after is the first time after another; 0: there is none.
func after(start int64, list []int64) int64 {
	for _, at := range list {
		if at > start {
			return at
		}
	}
	return 0
}

// between is how long it took to the next time, in milliseconds.
func between(start int64, list []int64) float64 {
	return float64(after(start, list)-start) / 1e6
}

func spread(list []float64) string {
	sorted := slices.Sorted(slices.Values(list))
	return fmt.Sprintf("%.0f ms (%.0f to %.0f)", sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1])
}
