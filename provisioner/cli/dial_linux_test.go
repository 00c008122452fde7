package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminals stay open: a prompt that was given up still reads from its own, and
// sets that back in the end, whatever has its number by then.
var terminals []*os.File

// terminal opens a pseudo-terminal: what a person has, and the person's end.
func terminal(t *testing.T) (tty, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	terminals = append(terminals, tty, person)
	return tty, person
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	modes, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return modes.Lflag&unix.ECHO != 0
}

// hidden waits for the terminal to show no more what is typed.
func hidden(t *testing.T, tty *os.File) {
	t.Helper()
	for range 500 {
		if !echoes(t, tty) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the terminal shows what is typed")
}

func TestCtrlCWhileAPassphraseIsAskedFor(t *testing.T) {
	tty, person := terminal(t)
	ctx, interrupt := context.WithCancel(t.Context())
	a := &app{stdin: tty, stderr: io.Discard}
	result := make(chan error, 1)
	go func() {
		_, err := a.dialer().Passphrase(ctx, "id_ed25519")
		result <- err
	}()
	hidden(t, tty)
	interrupt()
	select {
	case err := <-result:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the end is %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the passphrase is still waited for")
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show what is typed next")
	}
	person.WriteString("\n") // lets go of the terminal
}

func TestAPassphraseIsRead(t *testing.T) {
	tty, person := terminal(t)
	a := &app{stdin: tty, stderr: io.Discard}
	result := make(chan string, 1)
	go func() {
		text, err := a.dialer().Passphrase(t.Context(), "id_ed25519")
		result <- fmt.Sprint(string(text), err)
	}()
	hidden(t, tty)
	person.WriteString("sesame\n")
	if got := <-result; got != "sesame<nil>" || !echoes(t, tty) {
		t.Errorf("%q; the terminal echoes: %t", got, echoes(t, tty))
	}
}

// What a log holds is shown on a terminal as text; whoever wants the bytes
// takes them by a pipe.
func TestALogDoesNothingToATerminal(t *testing.T) {
	tty, person := terminal(t)
	out := shown(tty)
	io.WriteString(out, "pod said \x1b[2J\n")
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 100)
	n, err := person.Read(seen)
	if err != nil || string(seen[:n]) != "pod said ?[2J\r\n" {
		t.Errorf("the terminal got %q, %v", seen[:n], err)
	}
	var file bytes.Buffer
	out = shown(&file)
	io.WriteString(out, "pod said \x1b[2J")
	if err := out.Close(); err != nil || file.String() != "pod said \x1b[2J" {
		t.Errorf("the file got %q, %v", &file, err)
	}
}
