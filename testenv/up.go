package testenv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Up makes a lab and returns when every machine answers SSH. What a failed or
// cancelled Up began, it takes away again; what a killed one began, Down does.
func Up(ctx context.Context, o Options) (lab *Lab, err error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("a lab needs root: it makes namespaces, control groups and containers")
	}
	if !initialised {
		return nil, errors.New("testenv.Init must be called first")
	}
	if o.Driver == qemu {
		o.Flavor = kernelFlavor
	}
	image, err := Image(ctx, o.Flavor, o.Log)
	if err != nil {
		return nil, err
	}
	l, unlock, err := claim(o)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.build(ctx, o, image); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// claim makes the directories of a new lab, so that Down and Sweep find it from
// here on, and holds its lock.
func claim(o Options) (l *Lab, unlock func(), err error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	release, err := lockHost()
	if err != nil {
		return nil, nil, err
	}
	defer release()
	switch old, err := Open(dir); {
	case err == nil && old.Ready:
		return nil, nil, fmt.Errorf("%s holds a lab of %d machines already: use it, or remove it with `lab down --dir %s`", dir, len(old.Machines), dir)
	case err == nil:
		return nil, nil, fmt.Errorf("%s holds a lab that is being made, or that was never finished: `lab down --dir %s` removes it", dir, dir)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, err
	}
	l = &Lab{ID: newID(), Dir: dir, User: "root", Route: !o.NoDefaultRoute, Bastion: o.Bastion, Driver: o.Driver, Flavor: o.Flavor, IP: o.IP}
	if o.User {
		l.User = "admin"
	}
	if unlock, err = lock(filepath.Join(l.store(), "lock"), 0); err != nil {
		return nil, nil, err
	}
	err = writeFile(filepath.Join(l.store(), "dir"), 0o600, []byte(dir))
	if err == nil {
		err = l.save()
	}
	if err != nil {
		unlock()
		return nil, nil, errors.Join(err, os.RemoveAll(l.store()))
	}
	return l, unlock, nil
}

func (l *Lab) build(ctx context.Context, o Options, image string) error {
	if err := errors.Join(l.enter(), prepareHost()); err != nil {
		return err
	}
	sw, err := newNetwork()
	if err != nil {
		return err
	}
	defer sw.Close()
	if err := l.lay(sw); err != nil {
		return err
	}
	l.Machines = newMachines(l.Subnet, o.Masters, o.Workers)
	if l.Bastion {
		l.Machines = append([]Machine{{Name: bastionName, Role: bastionName, Address: l.bastion()}}, l.Machines...)
	}
	l.Machines = dress(l.IP, l.Machines)
	login, hostKeys, err := l.writeKeys()
	if err != nil {
		return err
	}
	if err := errors.Join(l.save(), l.writeCluster()); err != nil {
		return err
	}
	signer, err := l.signer()
	if err != nil {
		return err
	}
	say(o.Log, "lab %s: %d machines on %s", l.ID, len(l.Machines), l.Subnet)
	if err := l.raise(ctx, o, sw, image, login, hostKeys, signer); err != nil {
		return err
	}
	l.Ready = true
	return l.save()
}

// lay makes the switch, the outside host and the cable to the caller.
func (l *Lab) lay(sw netns.NsHandle) error {
	caller, err := netns.Get()
	if err != nil {
		return err
	}
	defer caller.Close()
	outside, err := newNetwork()
	if err != nil {
		return err
	}
	defer outside.Close()

	// No two labs may choose the same subnet in the same moment.
	release, err := lockHost()
	if err != nil {
		return err
	}
	defer release()
	if l.Subnet, err = chooseSubnet(caller); err != nil {
		return err
	}
	if err := makeSwitch(sw); err != nil {
		return err
	}
	if err := l.wireOutside(sw, outside); err != nil {
		return err
	}
	if err := plug(sw, cablePort, caller, l.cableName(), l.withSix(l.cable())); err != nil {
		return err
	}
	if l.Bastion {
		if err := screen(sw); err != nil {
			return err
		}
	}
	return l.startOutside(sw, caller, outside)
}

// raise makes and boots the machines side by side. Copying roots is bound by the
// disk, so that only two are copied at once, while others boot.
func (l *Lab) raise(ctx context.Context, o Options, sw netns.NsHandle, image, login string, hostKeys []key, signer ssh.Signer) error {
	begin := time.Now()
	copying := make(chan struct{}, 2)
	group, ctx := errgroup.WithContext(ctx)
	for i, m := range l.Machines {
		group.Go(func() error {
			copying <- struct{}{}
			err := l.makeRoot(ctx, image, m, hostKeys[i], login)
			if err == nil && l.Driver == qemu {
				err = l.makeDisk(ctx, m)
			}
			<-copying
			if err != nil {
				return fmt.Errorf("%s: root: %w", m.Name, err)
			}
			if err := l.boot(ctx, sw, m, signer, 0); err != nil {
				return err
			}
			say(o.Log, "%s %s answers after %.1f s", m.Name, m.Address, time.Since(begin).Seconds())
			return nil
		})
	}
	return group.Wait()
}

// prepareHost loads what machines may need of the kernel, where it is a module, and
// makes room for them. Machines share the host's kernel.* and vm.* settings.
func prepareHost() error {
	for _, module := range []string{"tun", "veth", "bridge", "br_netfilter", "overlay", "nf_tables", "nf_conntrack", "wireguard"} {
		// Built in, or not to be had: a machine's own checks will say so.
		exec.Command("modprobe", "--quiet", module).Run()
	}
	if _, err := os.Stat("/dev/net/tun"); errors.Is(err, fs.ErrNotExist) {
		os.MkdirAll("/dev/net", 0o755)
		unix.Mknod("/dev/net/tun", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 200)))
	}
	return roomForWatches()
}
