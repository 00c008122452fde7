package testenv

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Exec replaces this process by a command in the namespace that Up was called
// in. It returns only an error.
func (l *Lab) Exec(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return l.InCaller(func() error {
		// Of the threads only this one goes on, and its namespace with it.
		return fmt.Errorf("%s: %w", path, unix.Exec(path, argv, os.Environ()))
	})
}

// Login replaces this process by an ssh to a machine. One word is a line for the
// machine's shell, several are a command and its arguments, none is a shell.
func (l *Lab) Login(name string, words []string) error {
	m, err := l.Machine(name)
	if err != nil {
		return err
	}
	return l.Exec(append(l.sshArgv(m), remote(words)...))
}

// sshArgv is a command line of ssh that trusts nothing but this lab's keys, and reads no
// configuration of the user's.
func (l *Lab) sshArgv(m Machine) []string {
	argv := []string{"ssh", "-F", "none", "-i", l.Key(),
		"-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10",
		"-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=none", "-o", "UserKnownHostsFile=" + sshQuote(l.KnownHosts()),
		"-l", l.User}
	if jump, ok := l.jump(m); ok {
		// Not -J: it would forget the options above.
		hop := append(argv, "-W", netip.AddrPortFrom(m.Address, 22).String(), jump.Address.String())
		argv = append(argv, "-o", "ProxyCommand="+strings.ReplaceAll(strings.Join(remote(hop), " "), "%", "%%"))
	}
	return append(argv, m.Address.String(), "--")
}

// sshQuote keeps ssh from reading a path with a blank as two.
func sshQuote(path string) string { return `"` + strings.ReplaceAll(path, "%", "%%") + `"` }

// remote returns what ssh has to be given: it joins its arguments with blanks and
// the far shell takes them apart.
func remote(words []string) []string {
	if len(words) < 2 {
		return words
	}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return quoted
}
