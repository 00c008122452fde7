package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// bootTime is how long a machine may take from power on to sshd.
func (l *Lab) bootTime() time.Duration {
	if l.Driver == qemu {
		return 8 * time.Minute // half a minute on a quiet host, many times that on a busy one
	}
	return 90 * time.Second
}

// boot switches a machine on and returns when it lets the lab's key in: a new
// network namespace, then its system. It must be called from the namespace that the cable
// leads to.
func (l *Lab) boot(ctx context.Context, sw netns.NsHandle, m Machine, login ssh.Signer, ahead time.Duration) error {
	ns, err := newNetwork()
	if err != nil {
		return fmt.Errorf("%s: network namespace: %w", m.Name, err)
	}
	defer ns.Close() // not before nspawn opened it, and by then it has
	console, err := os.OpenFile(l.console(m.Name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	if l.Driver == qemu {
		err = l.emulate(sw, ns, m, console, ahead)
	} else if err = l.wire(sw, ns, m); err == nil {
		err = start(l.group(m.Name), netns.None(), &exec.Cmd{Args: l.nspawn(m, ns), Stdout: console, Stderr: console})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	return l.wait(ctx, m, login)
}

// nspawn is the command line of a machine. It takes back most of what a
// container is denied: a machine may load rules, mount, make devices and tunnels.
func (l *Lab) nspawn(m Machine, ns netns.NsHandle) []string {
	argv := []string{"systemd-nspawn", "--quiet",
		"--directory=" + l.root(m.Name), "--machine=" + l.group(m.Name), "--hostname=" + m.Name,
		fmt.Sprintf("--network-namespace-path=/proc/%d/fd/%d", os.Getpid(), int(ns)),
		"--register=no", "--keep-unit", "--settings=no",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
		"--capability=all", "--system-call-filter=add_key keyctl bpf perf_event_open @keyring",
		"--kill-signal=SIGRTMIN+3", "--bind=/dev/net/tun"}
	var kernel unix.Utsname
	if unix.Uname(&kernel) == nil {
		// As on a machine of one's own, modules can be looked up and loaded.
		if dir := "/lib/modules/" + unix.ByteSliceToString(kernel.Release[:]); isDir(dir) {
			argv = append(argv, "--bind-ro="+dir)
		}
	}
	return append(argv, "/usr/local/sbin/lab-init")
}

// wait returns when the machine's sshd lets the lab's key in.
func (l *Lab) wait(ctx context.Context, m Machine, login ssh.Signer) error {
	ctx, cancel := context.WithTimeout(ctx, l.bootTime())
	defer cancel()
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.HostKey))
	if err != nil {
		return err
	}
	config := &ssh.ClientConfig{
		User:              l.User,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(login)},
		HostKeyCallback:   ssh.FixedHostKey(want),
		HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}
	for {
		err := l.answers(ctx, m, config)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: no login on %s within %s (%w); its console says: %s", m.Name, m.Address, l.bootTime(), err, l.lastWords(m))
		case <-time.After(50 * time.Millisecond):
		}
		if !l.running(m.Name) {
			return fmt.Errorf("%s: ended while it booted; its console says: %s", m.Name, l.lastWords(m))
		}
	}
}

// lastWords is the end of what a machine wrote to its console.
func (l *Lab) lastWords(m Machine) string {
	data, err := os.ReadFile(l.console(m.Name))
	if err != nil {
		return err.Error()
	}
	data = bytes.TrimSpace(data)
	return string(data[max(0, len(data)-400):])
}

// running says whether a machine has any process.
func (l *Lab) running(name string) bool {
	pids, err := processes(l.group(name))
	return err == nil && len(pids) > 0
}

// signer reads the lab's own key.
func (l *Lab) signer() (ssh.Signer, error) {
	data, err := os.ReadFile(l.Key())
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, errors.New(l.Key() + ": no private key")
	}
	return signer, nil
}
