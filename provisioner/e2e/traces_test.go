//go:build lab

package e2e

import (
	_ "embed"
	"slices"
	"strings"
	"time"
)

//go:embed testdata/traces.sh
var tracesScript string

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

// ofTheKernel begins the lines of settings that machines share, those of other labs too:
// what one sets and puts back is seen on each.
var ofTheKernel = []string{"sysctl kernel.", "sysctl vm."}

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

// runContainer gives a machine's docker a container, made of what is on the machine.
func runContainer(l *lab, machine string) {
	l.t.Helper()
	l.on(machine, "sh", "-c", `set -e; systemctl start docker
		mkdir -p /tmp/pet/bin /tmp/pet/lib64 /tmp/pet/lib/x86_64-linux-gnu
		cp /bin/sleep /tmp/pet/bin/; cp /bin/echo /bin/cat /tmp/pet/bin/
		printf '#!/bin/sh\nexec "$@"\n' >/tmp/pet/bin/pet; cp /bin/dash /tmp/pet/bin/sh; chmod 755 /tmp/pet/bin/*
		cp /lib64/ld-linux-x86-64.so.2 /tmp/pet/lib64/; cp /lib/x86_64-linux-gnu/libc.so.6 /tmp/pet/lib/x86_64-linux-gnu/
		tar -C /tmp/pet -c . | docker import - pet >/dev/null; rm -rf /tmp/pet
		docker run -d --name pet --restart always -p 8888:80 pet /bin/sleep 100000 >/dev/null`)
}
