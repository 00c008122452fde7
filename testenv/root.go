package testenv

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"
)

// key is an SSH key pair: a private file, and the public line.
type key struct {
	private []byte
	public  string
}

func newKey(comment string) (key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return key{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return key{}, err
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		return key{}, err
	}
	return key{pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line)))}, nil
}

// makeRoot copies the image to a machine's root and makes it that machine's own.
// A copy, and nothing cleverer: an overlay cannot hold a container runtime's
// overlays, and hard links would be one file for all machines.
func (l *Lab) makeRoot(ctx context.Context, image string, m Machine, hostKey key, login string) error {
	root := l.root(m.Name)
	if err := os.MkdirAll(filepath.Dir(root), 0o700); err != nil {
		return err
	}
	if err := run(ctx, "cp", "-a", "--reflink=auto", image, root); err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:])
	hosts := "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
	for _, other := range l.Machines {
		hosts += other.Address.String() + " " + other.Name + "\n"
	}
	files := []struct {
		name string
		mode fs.FileMode
		data string
	}{
		{"etc/machine-id", 0o444, hex.EncodeToString(id[:]) + "\n"},
		{"etc/hostname", 0o644, m.Name + "\n"},
		{"etc/hosts", 0o644, hosts},
		{"etc/ssh/ssh_host_ed25519_key", 0o600, string(hostKey.private)},
		{"etc/ssh/ssh_host_ed25519_key.pub", 0o644, hostKey.public + "\n"},
	}
	if disk := diskBelow(l.store()); disk != "" {
		files = append(files, struct {
			name string
			mode fs.FileMode
			data string
		}{"etc/lab/disk", 0o644, disk})
	}
	for _, file := range files {
		name := filepath.Join(root, file.name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := writeFile(name, file.mode, []byte(file.data)); err != nil {
			return err
		}
	}
	if l.Route {
		text := "nameserver " + m.nameServer().String() + "\n"
		if err := writeFile(filepath.Join(root, "etc/resolv.conf"), 0o644, []byte(text)); err != nil {
			return err
		}
	}
	return l.allow(root, login)
}

// allow lets the lab's key in, as the lab's user and as nobody else.
func (l *Lab) allow(root, publicKey string) error {
	home, uid := filepath.Join(root, "root"), 0
	permit := "prohibit-password"
	if l.User != "root" {
		home, uid, permit = filepath.Join(root, "home", l.User), 1000, "no"
		for name, line := range map[string]string{
			"etc/passwd": fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash", l.User, uid, uid, l.User),
			"etc/group":  fmt.Sprintf("%s:x:%d:", l.User, uid),
			"etc/shadow": l.User + ":*:19000:0:99999:7:::",
		} {
			if err := appendLine(filepath.Join(root, name), line); err != nil {
				return err
			}
		}
		rule := l.User + " ALL=(ALL) NOPASSWD: ALL\n"
		if err := writeFile(filepath.Join(root, "etc/sudoers.d/lab"), 0o440, []byte(rule)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(home, ".ssh"), 0o700); err != nil {
		return err
	}
	authorized := filepath.Join(home, ".ssh/authorized_keys")
	if err := writeFile(authorized, 0o600, []byte(publicKey+"\n")); err != nil {
		return err
	}
	for _, name := range []string{home, filepath.Join(home, ".ssh"), authorized} {
		if err := os.Chown(name, uid, uid); err != nil {
			return err
		}
	}
	conf := "PermitRootLogin " + permit + "\nAllowUsers " + l.User + "\n"
	return writeFile(filepath.Join(root, "etc/ssh/sshd_config.d/lab.conf"), 0o644, []byte(conf))
}

func appendLine(name, line string) error {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(line + "\n")
	return errors.Join(err, file.Close())
}

// diskBelow returns "name major minor" of the block device with a folder's file
// system, as the mount table names it; "" where it is no such device.
func diskBelow(dir string) string {
	info, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	dev := info.Sys().(*syscall.Stat_t).Dev
	major, minor := unix.Major(dev), unix.Minor(dev)
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		mount, ok := parseMount(lines.Text())
		if ok && mount.device == fmt.Sprintf("%d:%d", major, minor) && strings.HasPrefix(mount.source, "/dev/") {
			return fmt.Sprintf("%s %d %d\n", mount.source, major, minor)
		}
	}
	return ""
}
