//go:build lab

package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"provision/components"
	"provision/provisioner/ssh/sshtest"
)

// realServer starts OpenSSH's own server on loopback, for the test's own user.
func realServer(t *testing.T) Target {
	t.Helper()
	const program = "/usr/sbin/sshd"
	if _, err := os.Stat(program); err != nil {
		t.Fatal("openssh-server is not installed: ", err)
	}
	os.MkdirAll("/run/sshd", 0o755) // where it drops its privileges to
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	host, client := sshtest.NewKey(t), sshtest.NewKey(t)
	authorized := filepath.Join(t.TempDir(), "authorized_keys")
	if err := os.WriteFile(authorized, ssh.MarshalAuthorizedKey(client.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	server := exec.Command(program, "-D", "-e", "-o", "LogLevel=VERBOSE", "-f", "/dev/null", "-h", sshtest.WriteKey(t, host),
		"-o", fmt.Sprintf("ListenAddress=127.0.0.1:%d", port), "-o", "AuthorizedKeysFile="+authorized, "-o", "PidFile=none",
		"-o", "StrictModes=no", "-o", "UsePAM=no", "-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp")
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.String())
		}
	})
	return Target{Name: "m1", Host: "127.0.0.1", Port: port, User: me.Username, Keys: []string{sshtest.WriteKey(t, client)}, KeysGiven: true,
		HostKey: string(ssh.MarshalAuthorizedKey(host.PublicKey()))}
}

// What sshtest stands in for, by the real thing: many commands and files at
// once, input, failure, a signal, a file's mode and content.
func TestRealServer(t *testing.T) {
	client, err := new(Dialer).Dial(soon(t), realServer(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			got, err := client.Run(soon(t), []string{"cat"}, strings.NewReader(fmt.Sprint(i)))
			if err != nil || string(got) != fmt.Sprint(i) {
				t.Errorf("%d: got %q, %v", i, got, err)
			}
		})
		all.Go(func() {
			name := filepath.Join(dir, "folder", fmt.Sprint(i))
			if err := client.WriteFile(soon(t), name, 0o600, []byte(name)); err != nil {
				t.Error(err)
			}
			if got, err := client.ReadFile(soon(t), name); err != nil || string(got) != name {
				t.Errorf("read %q, %v", got, err)
			}
			if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
	all.Wait()
	if client.sftp == nil {
		t.Error("SFTP was not used")
	}
	var exit *components.ExitError
	if _, err := client.Run(soon(t), []string{"sh", "-c", "kill -KILL $$"}, nil); !errors.As(err, &exit) || exit.Signal != "KILL" {
		t.Errorf("got %v, want signal KILL", err)
	}
}

func TestRealServerCancel(t *testing.T) {
	client, err := new(Dialer).Dial(soon(t), realServer(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ended := filepath.Join(t.TempDir(), "ended")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = client.Run(ctx, []string{"sh", "-c", `trap 'touch "$1"; exit 1' TERM; while :; do sleep 0.05; done`, "sh", ended}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
	if _, err := os.Stat(ended); err != nil {
		t.Error("the command was not told to end")
	}
}

// How fast a bundle can go over: a figure for whoever reads the log.
func TestRealServerThroughput(t *testing.T) {
	client, err := new(Dialer).Dial(soon(t), realServer(t))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const size = 200 << 20
	began := time.Now()
	if err := client.RunStream(soon(t), []string{"sh", "-c", "cat >/dev/null"}, bytes.NewReader(make([]byte, size)), nil, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB in %s", size>>20, time.Since(began))
	began = time.Now()
	for i := range 50 {
		if err := client.WriteFile(soon(t), filepath.Join(t.TempDir(), fmt.Sprint(i)), 0o600, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("50 small secret files in %s", time.Since(began))
}

// A real bastion with sshd's own limits (MaxStartups 10:30:100, MaxSessions 10):
// many machines behind it are reached at once, and stay so.
func TestRealBastion(t *testing.T) {
	machine := sshtest.Start(t, sshtest.Options{})
	to := target(machine)
	to.Bastions = []Target{realServer(t)}
	began := time.Now()
	clients := dialAll(t, new(Dialer), to, 60)
	t.Logf("%d machines in %s", len(clients), time.Since(began))
	for _, client := range clients {
		if _, err := client.Run(soon(t), []string{"true"}, nil); err != nil {
			t.Error(err)
		}
		client.Close()
	}
}
