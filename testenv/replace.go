package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Replace puts a blank machine in the place of one that is off: the same name,
// address and host key, a new disk and machine-id. It returns when the machine
// answers SSH.
func (l *Lab) Replace(ctx context.Context, name string) error {
	m, err := l.Machine(name)
	switch {
	case err != nil:
		return err
	case l.Driver == qemu:
		return errors.New("machines of `lab up --driver qemu` are not replaced")
	case l.running(name):
		return fmt.Errorf("%s is running; `lab kill %s` takes its power away", name, name)
	}
	image, err := Image(ctx, l.Flavor, nil)
	if err != nil {
		return err
	}
	private, err := os.ReadFile(filepath.Join(l.root(name), "etc/ssh/ssh_host_ed25519_key"))
	if err != nil {
		return err
	}
	login, err := os.ReadFile(l.Key() + ".pub")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(l.root(name)); err != nil {
		return err
	}
	if err := l.makeRoot(ctx, image, m, key{private, m.HostKey}, strings.TrimSpace(string(login))); err != nil {
		return fmt.Errorf("%s: root: %w", name, err)
	}
	return l.Start(ctx, name)
}
