//go:build lab

package e2e

import (
	"bytes"
	"context"
	_ "embed"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/traces.sh
var tracesScript string

//go:embed testdata/busy.yaml
var busyPod string

// look lists all that a cluster might leave on a machine.
func (l *lab) look(machine string) []string {
	l.t.Helper()
	out := l.callWith(time.Minute, tracesScript, "bin/lab", "ssh", machine, "--dir", l.dir, "--", "sh")
	lines := strings.Split(strings.TrimSpace(out.stdout), "\n")
	if out.code != 0 || len(lines) < 1000 {
		l.t.Fatalf("look at %s: exit status %d, %d lines\n%s", machine, out.code, len(lines), out.stderr)
	}
	return lines
}

// same compares a machine with what it was, except for lines that begin so. Log folders may stay.
func (l *lab) same(machine string, before []string, except ...string) {
	l.t.Helper()
	except = append(except, "log ")
	after := l.look(machine)
	without := func(lines, others []string) (only string) {
		for _, line := range lines {
			named := slices.ContainsFunc(except, func(begin string) bool { return strings.HasPrefix(line, begin) })
			if !named && !slices.Contains(others, line) {
				only += "\t" + line + "\n"
			}
		}
		return only
	}
	if gone, left := without(before, after), without(after, before); gone+left != "" {
		l.t.Errorf("%s is not what it was; gone:\n%sleft:\n%s", machine, gone, left)
	}
}

// TestTraces takes clusters away in every state in which people leave them, from
// a machine that has things of its own, and compares it with what it was.
func TestTraces(t *testing.T) {
	l := newLab(t, "--masters", "1", "--flavor", "docker")
	l.on("m1", "sh", "-c", `systemctl start docker
		mkdir -p /srv/data && echo mine >/srv/data/keep
		sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=2`)
	runContainer(l)
	eventually(t, "docker's link has its address", func() (bool, string) {
		addresses := l.on("m1", "ip", "-o", "addr")
		return strings.Contains(addresses, "docker0 "), addresses
	})
	before := l.look("m1")
	for _, state := range []struct {
		name string
		test func(*testing.T, *lab, []string)
	}{
		{"busy", goneWhenBusy},
		{"half made", goneWhenHalfMade},
		{"without agent and journal", goneWithoutJournal},
		{"something in the way", goneLater},
	} {
		if !t.Run(state.name, func(t *testing.T) {
			parent := l.t
			l.t = t
			defer func() { l.t = parent }()
			state.test(t, l, before)
			if got := l.on("m1", "sh", "-c", "cat /srv/data/keep; docker exec pet /bin/pet echo alive"); got != "mine\nalive\n" {
				t.Errorf("what is theirs says %q", got)
			}
		}) {
			return
		}
	}
}

// runContainer gives a machine's docker a container, made of what is on the machine.
func runContainer(l *lab) {
	l.t.Helper()
	l.on("m1", "sh", "-c", `set -e; systemctl start docker
		mkdir -p /tmp/pet/bin /tmp/pet/lib64 /tmp/pet/lib/x86_64-linux-gnu
		cp /bin/sleep /tmp/pet/bin/; cp /bin/echo /tmp/pet/bin/echo
		printf '#!/bin/sh\nexec "$@"\n' >/tmp/pet/bin/pet; cp /bin/dash /tmp/pet/bin/sh; chmod 755 /tmp/pet/bin/*
		cp /lib64/ld-linux-x86-64.so.2 /tmp/pet/lib64/; cp /lib/x86_64-linux-gnu/libc.so.6 /tmp/pet/lib/x86_64-linux-gnu/
		tar -C /tmp/pet -c . | docker import - pet >/dev/null; rm -rf /tmp/pet
		docker run -d --name pet --restart always -p 8888:80 pet /bin/sleep 100000 >/dev/null`)
}

// goneWhenBusy: pods run and hold on, mounts lie in mounts, a process of the
// user's sits in a pod's folder, and the API server is dead.
func goneWhenBusy(t *testing.T, l *lab, before []string) {
	l.provision(0, "up", "--yes")
	l.apply(strings.NewReplacer("IMAGE", image(t, "probe"), "NODE", "m1").Replace(busyPod))
	eventually(t, "the pod runs", func() (bool, string) {
		pods := l.kubectl("get", "pods", "--no-headers")
		return strings.Contains(pods, "1/2"), pods
	})
	l.on("m1", "sh", "-c", `set -e
		cd /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/disk
		mkdir nested && mount -t tmpfs none nested && mkdir nested/deeper && mount -t tmpfs none nested/deeper
		mkdir mine && mount --bind /srv/data mine
		cd /var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/memory
		nohup sleep 600 >/dev/null 2>&1 </dev/null &
		cd nested 2>/dev/null || true
		systemctl kill --signal=SIGKILL provision-apiserver; systemctl stop --no-block provision-apiserver`)
	out := l.provision(0, "down", "--yes")
	t.Log(out.all())
	l.on("m1", "sh", "-c", `kill $(ps -eo pid,args | awk '$2 == "sleep" && $3 == 600 {print $1}')`)
	l.same("m1", before)
	l.provision(0, "down", "--yes") // twice does no harm
	l.same("m1", before)
}

// goneWhenHalfMade: up is killed in the middle, more than once.
func goneWhenHalfMade(t *testing.T, l *lab, before []string) {
	for _, after := range []time.Duration{1500 * time.Millisecond, 3 * time.Second, 5 * time.Second, 8 * time.Second} {
		var said bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), after)
		cmd := exec.CommandContext(ctx, "bin/provision", "up", l.file, "--yes") // killed when the time is over
		cmd.Dir, cmd.Stdout, cmd.Stderr = root, &said, &said
		cmd.Run()
		cancel()
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		t.Logf("killed after %s, at %q", after, lines[len(lines)-1])
		// The dead run's lease is not this test's matter.
		l.on("m1", "rm", "-f", "/var/lib/provision/lock/lease.json")
		l.provision(0, "down", "--yes")
		l.same("m1", before)
	}
}

// goneWithoutJournal: somebody tidied up by hand, and a unit fails for ever.
func goneWithoutJournal(t *testing.T, l *lab, before []string) {
	l.on("m1", "sysctl", "-qw", "net.ipv4.ip_forward=0")
	l.provision(0, "up", "--yes")
	l.on("m1", "sh", "-c", "rm -rf /opt/provision/agent-* /var/lib/provision/journal; mount -o remount,rw /; : >/etc/provision/kubelet.yaml; systemctl kill -s KILL provision-kubelet provision-overlay")
	time.Sleep(2 * time.Second)
	out := l.provision(0, "down", "--yes")
	t.Log(out.all())
	if !strings.Contains(out.all(), "journal") {
		t.Error("nothing is said about the journal")
	}
	l.same("m1", before, "sysctl ") // which nobody knows any more
	after := l.look("m1")
	for _, line := range before {
		if setting, is := strings.CutPrefix(line, "sysctl "); is && !slices.Contains(after, line) {
			l.on("m1", "sysctl", "-qw", strings.Replace(setting, " = ", "=", 1))
		}
	}
}

// goneLater: what cannot go is named, and goes once nothing is in its way.
func goneLater(t *testing.T, l *lab, before []string) {
	l.provision(0, "up", "--yes")
	l.on("m1", "sh", "-c", "mkdir -p /opt/provision/mine && mount -t tmpfs none /opt/provision/mine && echo precious >/opt/provision/mine/file")
	out := l.provision(1, "down", "--yes")
	t.Log(out.all())
	if !strings.Contains(out.all(), "/opt/provision/mine") {
		t.Error("what is in the way is not named")
	}
	if got := l.on("m1", "cat", "/opt/provision/mine/file"); got != "precious\n" {
		t.Errorf("the file in the mount says %q", got)
	}
	l.on("m1", "umount", "/opt/provision/mine")
	l.provision(0, "down", "--yes")
	l.same("m1", before)
}
