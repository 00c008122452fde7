//go:build lab

package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUserWithoutRoute(t *testing.T) {
	ownStore(t)
	lab := makeLab(t, Options{Masters: 1, User: true, NoDefaultRoute: true})
	if got := lab.must(t, "m1", "id -un; sudo -n id -un; ip route; test -e /etc/resolv.conf || echo none"); !strings.HasPrefix(got, "admin\nroot\n") ||
		strings.Contains(got, "default") || !strings.HasSuffix(got, "none") {
		t.Errorf("admin, with sudo, no default route, no name server: %q", got)
	}
	root := *lab
	root.User = "root"
	if out, err := root.on(t, "m1", "id"); err == nil {
		t.Errorf("root may log in: %q", out)
	}
	text, err := os.ReadFile(filepath.Join(lab.Dir, "cluster.hcl"))
	if err != nil || !strings.Contains(string(text), `user = "admin"`) {
		t.Errorf("cluster.hcl: %v, %s", err, text)
	}
}

func TestSideBySide(t *testing.T) {
	ownStore(t)
	one := makeLab(t, Options{Workers: 1})
	two := makeLab(t, Options{Workers: 1})
	if one.Subnet == two.Subnet {
		t.Fatalf("both on %s", one.Subnet)
	}
	if one.must(t, "w1", "cat /etc/machine-id") == two.must(t, "w1", "cat /etc/machine-id") {
		t.Error("both names lead to the same machine")
	}
	if _, err := one.on(t, "w1", "ping -c1 -W1 "+two.Machines[0].Address.String()); err == nil {
		t.Error("a machine of one lab reaches the other lab's")
	}
	if err := Down(one.Dir); err != nil {
		t.Fatal(err)
	}
	gone(t, one)
	if got := two.must(t, "w1", "hostname"); got != "w1" {
		t.Errorf("the other lab says %q", got)
	}
}

// `ip netns exec` runs a program in another network, with a mount table of its own in
// which /sys shows no control groups; a lab made there is used from anywhere.
func TestFromAnotherNamespace(t *testing.T) {
	ownStore(t)
	dir := filepath.Join(t.TempDir(), "lab")
	t.Cleanup(func() { Down(dir) })
	ns, err := newNetwork()
	if err != nil {
		t.Fatal(err)
	}
	err = inNetwork(ns, func() error {
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
			return err
		}
		if err := unix.Unmount("/sys", unix.MNT_DETACH); err != nil {
			return err
		}
		if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
			return err
		}
		return run(t.Context(), "env", upDir+"="+dir, mustExecutable(t))
	})
	ns.Close()
	if err != nil {
		t.Fatal(err)
	}
	lab, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := lab.must(t, "m1", "ls /sys/class/net && systemctl is-system-running --wait"); got != "eth0\nlo\nrunning" {
		t.Errorf("m1: %q", got)
	}
	if err := lab.Kill("m1"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(deadline(t), "m1"); err != nil {
		t.Fatal(err)
	}
	if err := Down(dir); err != nil {
		t.Fatal(err)
	}
	gone(t, lab)
}

func mustExecutable(t *testing.T) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return program
}
