package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// qemu is the driver whose machines are emulated computers: with a kernel, a
// memory and a clock of their own, without KVM, and many times slower for it.
const qemu = "qemu"

// What an emulated machine has.
const (
	memoryMiB = 512
	diskSize  = "2G" // sparse
)

// tapFD is the number of the cable's end in the emulator's process.
const tapFD = 3

func checkDriver(driver, flavor string) error {
	switch driver {
	case "", "nspawn":
		return nil
	case qemu:
	default:
		return fmt.Errorf("there is no driver %q; there are nspawn and qemu", driver)
	}
	if flavor != "" && flavor != kernelFlavor {
		return fmt.Errorf("the driver qemu boots the flavor kernel, not %q", flavor)
	}
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("the driver qemu emulates amd64 only, and this host is %s", runtime.GOARCH)
	}
	return nil
}

func (l *Lab) disk(name string) string { return filepath.Join(l.store(), name, "disk") }

// makeDisk turns a machine's root into a disk, with the kernel beside it as a boot
// loader would find it.
func (l *Lab) makeDisk(ctx context.Context, m Machine) error {
	root := l.root(m.Name)
	text := "address=" + ipPrefix(m.Address, l.Subnet).String() + "\n"
	if l.Route {
		text += "gateway=" + l.gateway().String() + "\n"
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/lab"), 0o755); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(root, "etc/lab/network"), 0o644, []byte(text)); err != nil {
		return err
	}
	for file, pattern := range map[string]string{l.kernel(m.Name): "boot/vmlinuz-*", l.initramfs(m.Name): "boot/initrd.img-*"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(found) != 1 {
			return fmt.Errorf("%d files are called %s, not one", len(found), pattern)
		}
		if err := os.Rename(found[0], file); err != nil {
			return err
		}
	}
	disk := l.disk(m.Name)
	if err := run(ctx, "mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", root, disk, diskSize); err != nil {
		return err
	}
	return os.RemoveAll(root)
}

func (l *Lab) kernel(name string) string    { return filepath.Join(l.store(), name, "vmlinuz") }
func (l *Lab) initramfs(name string) string { return filepath.Join(l.store(), name, "initrd.img") }

// emulate starts a machine's emulator, in a namespace with nothing in it: the only way
// out is the cable that it is handed.
func (l *Lab) emulate(sw, ns netns.NsHandle, m Machine, console *os.File, ahead time.Duration) error {
	cable, err := tap(sw, m.Name)
	if err != nil {
		return err
	}
	defer cable.Close() // the emulator's copy keeps the port
	clock := time.Now().Add(ahead).UTC()
	cmd := &exec.Cmd{Args: l.computer(m, clock), Stdout: console, Stderr: console, ExtraFiles: []*os.File{cable}}
	return start(l.group(m.Name), ns, cmd)
}

// computer is the command line of an emulated machine. A reboot ends it, as it
// ends the machines of the other driver.
func (l *Lab) computer(m Machine, clock time.Time) []string {
	return []string{"nice", "-n", "10", "qemu-system-x86_64", "-name", l.group(m.Name), "-nodefaults", "-no-user-config", "-no-reboot",
		"-machine", "pc", "-accel", "tcg,tb-size=128", "-cpu", "max,la57=off", "-m", fmt.Sprint(memoryMiB),
		"-display", "none", "-serial", "stdio",
		"-rtc", "base=" + clock.Format("2006-01-02T15:04:05"),
		"-drive", "if=virtio,format=raw,file=" + l.disk(m.Name),
		"-netdev", fmt.Sprintf("tap,id=cable,fd=%d", tapFD),
		"-device", "virtio-net-pci,netdev=cable,romfile=,mac=" + linkAddress(m.Address).String(),
		"-device", "virtio-rng-pci",
		"-kernel", l.kernel(m.Name), "-initrd", l.initramfs(m.Name),
		"-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off loglevel=4 panic=-1"}
}

// tap makes a port of the switch whose other end is a file. It goes when the last
// copy of the file is closed.
func tap(sw netns.NsHandle, port string) (*os.File, error) {
	var file *os.File
	err := inNetwork(sw, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("/dev/net/tun: %w", err)
		}
		file = os.NewFile(uintptr(fd), "/dev/net/tun")
		request, err := unix.NewIfreq(port)
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("port %s: %w", port, err)
		}
		return nil
	})
	if err == nil {
		err = plugTap(sw, port)
	}
	if err != nil && file != nil {
		err = errors.Join(err, file.Close())
	}
	return file, err
}

func plugTap(sw netns.NsHandle, port string) error {
	h, err := in(sw)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(port)
	if err != nil {
		return err
	}
	if err := attach(sw, mainBridge, port); err != nil {
		return err
	}
	return h.LinkSetUp(link)
}
