package ssh

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"provision/provisioner/ssh/sshtest"
)

// echo is a TCP server that says back what it hears.
func echo(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func TestForward(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, sshtest.Options{})
	conn, err := client.DialContext(soon(t), "tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "hello"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestForwardRefused(t *testing.T) {
	client, _ := dial(t, sshtest.Options{NoForward: true})
	_, err := client.DialContext(soon(t), "tcp", echo(t))
	wantError(t, err, "does not forward")
}

func TestThroughBastions(t *testing.T) {
	noLeaks(t)
	first, second, last := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	to := target(last)
	to.Bastions = []Target{target(first), target(second)}
	client, err := new(Dialer).Dial(soon(t), to)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got, err := client.Run(soon(t), []string{"echo", "there"}, nil); err != nil || string(got) != "there\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if f := first.Stats().Forwarded; len(f) != 1 || f[0] != second.Address() {
		t.Errorf("the first bastion connected to %q, want the second", f)
	}
	if f := second.Stats().Forwarded; len(f) != 1 || f[0] != last.Address() {
		t.Errorf("the second bastion connected to %q, want the machine", f)
	}
}

func TestBastionWithWrongHostKey(t *testing.T) {
	bastion, machine := sshtest.Start(t, sshtest.Options{}), sshtest.Start(t, sshtest.Options{})
	to := target(machine)
	to.Bastions = []Target{target(bastion)}
	bastion.SetHostKey(sshtest.NewKey(t))
	wantError(t, tryDial(t, to), "bastion: ", bastion.Address(), "has changed")
	if n := machine.Stats().Connections; n != 0 {
		t.Error("the machine was reached through a stranger")
	}
}

// A connection that breaks in the middle of a command says so.
func TestConnectionLost(t *testing.T) {
	noLeaks(t)
	client, server := dial(t, sshtest.Options{})
	time.AfterFunc(100*time.Millisecond, server.Drop)
	_, err := client.Run(soon(t), []string{"sleep", "30"}, nil)
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Fatalf("got %v", err)
	}
	_, err = client.Run(soon(t), []string{"true"}, nil)
	if !errors.As(err, &lost) {
		t.Errorf("after it: %v", err)
	}
	err = client.WriteFile(soon(t), "/tmp/unwritten", 0o644, nil)
	if !errors.As(err, &lost) {
		t.Errorf("a file after it: %v", err)
	}
}

// A machine whose power is gone does not answer: nobody waits for TCP to see it.
func TestMachineWithoutPower(t *testing.T) {
	noLeaks(t)
	server := sshtest.Start(t, sshtest.Options{})
	dialer := Dialer{keepAlive: 50 * time.Millisecond}
	client, err := dialer.Dial(soon(t), target(server))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	time.AfterFunc(200*time.Millisecond, server.Freeze)
	began := time.Now()
	_, err = client.Run(soon(t), []string{"sleep", "30"}, nil)
	wantError(t, err, "did not answer for 400ms")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("noticed after %s", took)
	}
}

// A machine that answers keep-alives is never given up.
func TestKeepAliveKeepsTheLiving(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	dialer := Dialer{keepAlive: 20 * time.Millisecond}
	client, err := dialer.Dial(soon(t), target(server))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Run(soon(t), []string{"sleep", "0.5"}, nil); err != nil {
		t.Error(err)
	}
}

// Close ends what goes on, and may come twice.
func TestCloseEndsEverything(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, sshtest.Options{})
	result := make(chan error, 1)
	go func() {
		_, err := client.Run(context.Background(), []string{"sleep", "30"}, nil)
		result <- err
	}()
	time.Sleep(100 * time.Millisecond)
	client.Close()
	client.Close()
	select {
	case err := <-result:
		wantError(t, err, "was closed")
	case <-time.After(5 * time.Second):
		t.Error("the command went on")
	}
}

// sudoEnv puts a sudo before the real one which does what it is told.
func sudoEnv(t *testing.T, script string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sudo"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
}

const sudoWorks = `[ "$1 $2" = "-n --" ] || exit 9
shift 2
exec env BECAME=root "$@"`

func dialSudo(t *testing.T, script string) (*Client, *sshtest.Server) {
	t.Helper()
	server := sshtest.Start(t, sshtest.Options{Env: sudoEnv(t, script)})
	server.User = "ubuntu"
	to := target(server)
	to.Sudo = true
	client, err := new(Dialer).Dial(soon(t), to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, server
}

func TestSudo(t *testing.T) {
	client, _ := dialSudo(t, sudoWorks)
	got, err := client.Run(soon(t), []string{"sh", "-c", "echo $BECAME; cat"}, nil)
	if err != nil || string(got) != "root\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestSudoRefuses(t *testing.T) {
	for name, script := range map[string]string{
		"password":    "echo 'sudo: a password is required' >&2; exit 1",
		"not allowed": "echo 'ubuntu is not in the sudoers file.' >&2; exit 1",
		"none there":  "echo 'env: sudo: No such file or directory' >&2; exit 127",
		"no terminal": "echo 'sudo: sorry, you must have a tty to run sudo' >&2; exit 1",
	} {
		t.Run(name, func(t *testing.T) {
			client, _ := dialSudo(t, script)
			_, err := client.Run(soon(t), []string{"true"}, nil)
			var refused *SudoError
			if !errors.As(err, &refused) {
				t.Fatalf("got %v", err)
			}
			wantError(t, err, "ubuntu cannot become root", "NOPASSWD")
			err = client.WriteFile(soon(t), "/tmp/unwritten", 0o600, nil)
			if !errors.As(err, &refused) {
				t.Errorf("a file: %v", err)
			}
		})
	}
}

// A command that fails under sudo is the command's failure.
func TestFailureUnderSudo(t *testing.T) {
	client, _ := dialSudo(t, sudoWorks)
	_, err := client.Run(soon(t), []string{"sh", "-c", "echo sudo: no such unit >&2; exit 1"}, nil)
	wantError(t, err, "exit status 1", "no such unit")
}
