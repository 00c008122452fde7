package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"provision/provisioner/config"
	"provision/provisioner/ssh"
)

// dialer asks for the passphrase of a locked key where there is a terminal.
func (a *app) dialer() *ssh.Dialer {
	return &ssh.Dialer{Passphrase: func(ctx context.Context, file string) ([]byte, error) {
		in, ok := a.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return nil, errors.New("it has a passphrase, and there is no terminal to ask on; load it into ssh-agent")
		}
		fmt.Fprintf(a.stderr, "Passphrase of %s: ", file)
		defer fmt.Fprintln(a.stderr)
		return readHidden(ctx, in)
	}}
}

// readHidden reads a line from a terminal that does not show it. Ctrl-C is
// caught by main and only ends ctx: the line is then not waited for, and the
// terminal shows again what is typed.
func readHidden(ctx context.Context, in *os.File) ([]byte, error) {
	fd := int(in.Fd())
	before, err := term.GetState(fd)
	if err := errors.Join(err, context.Cause(ctx)); err != nil {
		return nil, err
	}
	type line struct {
		text []byte
		err  error
	}
	typed := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		typed <- line{text, err}
	}()
	select {
	case l := <-typed:
		return l.text, l.err
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), term.Restore(fd, before))
	}
}

func (a *app) dial(ctx context.Context, m config.Machine) (*ssh.Client, error) {
	return a.dialer().Dial(ctx, target(m))
}

// target says to package ssh what the file says of a machine.
func target(m config.Machine) ssh.Target {
	t := hop(m.SSH)
	t.Name = m.Name
	for _, bastion := range m.SSH.Bastions {
		t.Bastions = append(t.Bastions, hop(bastion))
	}
	return t
}

func hop(s config.SSH) ssh.Target {
	return ssh.Target{
		Name: s.Host, Host: s.Host, Port: s.Port, User: s.User,
		Keys: s.Keys, KeysGiven: s.KeysGiven, Agent: s.Agent,
		HostKey: s.HostKey, KnownHosts: s.KnownHosts, AcceptNew: s.AcceptNew,
		Sudo: s.Sudo,
	}
}
