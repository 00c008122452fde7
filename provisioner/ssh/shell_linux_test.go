package ssh

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"provision/provisioner/ssh/sshtest"
)

// terminal opens a pseudo-terminal: what a person has, and the person's end.
func terminal(t *testing.T, columns, rows uint16) (tty, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return tty, person
}

// On a terminal the machine gets one of the same size, learns when that
// changes, and the operator's is as before in the end.
func TestShellOnATerminal(t *testing.T) {
	client, server := dial(t, sshtest.Options{})
	tty, person := terminal(t, 91, 17)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, person)
	result := make(chan error, 1)
	go func() { result <- client.Shell(soon(t), nil, tty, tty, nil) }()
	waitFor(t, func() bool { return len(server.Stats().Lines) == 1 })
	if err := unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: 120, Row: 40}); err != nil {
		t.Fatal(err)
	}
	// The terminal is not this process's own, so nobody signals the change.
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return len(server.Stats().Windows) == 2 })
	if _, err := io.WriteString(person, "exit 5\n"); err != nil {
		t.Fatal(err)
	}
	wantError(t, <-result, "shell: exit status 5")
	if got := server.Stats().Windows; got[0] != [2]int{91, 17} || got[1] != [2]int{120, 40} {
		t.Errorf("the machine was told of %v", got)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is %+v, and was %+v (%v)", after, before, err)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("waited in vain")
}
