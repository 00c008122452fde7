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
	return &ssh.Dialer{Passphrase: func(file string) ([]byte, error) {
		in, ok := a.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return nil, errors.New("it has a passphrase, and there is no terminal to ask on; load it into ssh-agent")
		}
		fmt.Fprintf(a.stderr, "Passphrase of %s: ", file)
		defer fmt.Fprintln(a.stderr)
		return term.ReadPassword(int(in.Fd()))
	}}
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
