package ssh

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/crypto/ssh"

	"provision/components"
	"provision/provisioner/ssh/sshtest"
)

// evil clears the screen, sets the window's title, is red by a single character,
// and has a line that looks like ours.
const evil = "\x1b[2Jno\x1b]0;owned\x07 \u009b31m\rerror: all is well\u202e"

func shows(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("the error %q would do things to a terminal", err)
	}
	if len(err.Error()) > 2*maxSaid {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestWhatAMachineSaysIsShownAsText(t *testing.T) {
	client, _ := dial(t, sshtest.Options{NoSFTP: true, Exec: func(c *sshtest.Command) int {
		io.WriteString(c.Stderr, "first\n"+evil+strings.Repeat("x", 100<<10))
		return 3
	}})
	_, err := client.Run(soon(t), []string{"true"}, nil)
	shows(t, err)
	var exit *components.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || !strings.Contains(string(exit.Stderr), evil) {
		t.Errorf("the exit error is %+v", exit)
	}
	_, err = client.ReadFile(soon(t), "/etc/hosts")
	shows(t, err)
	shows(t, client.Shell(soon(t), []string{"true"}, nil, nil, nil))
}

func TestPlainErrorsStayAsTheyAre(t *testing.T) {
	plain := errors.New("m1: größer als 16 MiB")
	if got := plainly(plain); got != plain {
		t.Errorf("it became %v", got)
	}
	if plainly(nil) != nil {
		t.Error("no error became one")
	}
	refused := &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: evil}
	got := plainly(fmt.Errorf("bastion: %w", refused))
	shows(t, got)
	if !errors.Is(got, refused) || !strings.HasPrefix(got.Error(), "bastion: ") {
		t.Errorf("it became %v", got)
	}
}
