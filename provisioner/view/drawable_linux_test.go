package view

import (
	"bytes"
	"os"
	"syscall"
	"testing"
)

func TestADumbTerminalGetsPlainLines(t *testing.T) {
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer tty.Close()
	for kind, want := range map[string]bool{"xterm-256color": true, "dumb": false, "": false} {
		t.Setenv("TERM", kind)
		t.Setenv("NO_COLOR", "")
		if _, is := drawable(tty); is != want {
			t.Errorf("TERM=%q: %v", kind, is)
		}
		if colour := New(tty, tty, false).Colour(); colour != want {
			t.Errorf("TERM=%q: colour %v", kind, colour)
		}
	}
	t.Setenv("TERM", "xterm")
	if _, is := drawable(&bytes.Buffer{}); is {
		t.Error("a buffer is no terminal")
	}
}
