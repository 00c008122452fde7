package testenv

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What an emulated machine is told of itself from outside.
func TestComputer(t *testing.T) {
	t.Setenv("PROVISION_LAB_STORE", "/store")
	l := testLabIn("/lab")
	m := Machine{Name: "w1", Address: netip.MustParseAddr("192.168.60.21")}
	argv := l.computer(m, time.Date(2026, 3, 1, 12, 30, 5, 0, time.UTC))
	for option, want := range map[string]string{
		"-rtc":    "base=2026-03-01T12:30:05",
		"-drive":  "if=virtio,format=raw,file=/store/0a1b2c/w1/disk",
		"-netdev": "tap,id=cable,fd=3",
		"-device": "virtio-net-pci,netdev=cable,romfile=,mac=02:1a:c0:a8:3c:15",
	} {
		if i := slices.Index(argv, option); i < 0 || argv[i+1] != want {
			t.Errorf("%s is not %s: %v", option, want, argv)
		}
	}
	// Whatever the machine does, it has no way out but its cable.
	if text := strings.Join(argv, " "); strings.Contains(text, "user,") || !strings.Contains(text, "-nodefaults") {
		t.Errorf("%s", text)
	}
}

func TestDrivers(t *testing.T) {
	for _, test := range []struct{ driver, flavor, want string }{
		{"", "", ""},
		{"", "docker", ""},
		{"nspawn", "docker", ""},
		{"qemu", "docker", "flavor kernel"},
		{"vmware", "", "nspawn and qemu"},
	} {
		err := Options{Dir: "d", Workers: 1, Driver: test.driver, Flavor: test.flavor}.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("driver %q, flavor %q: %v, want %q", test.driver, test.flavor, err, test.want)
		}
	}
}

func TestAContainersClockIsTheHosts(t *testing.T) {
	l := testLabIn(t.TempDir())
	if err := l.StartAt(t.Context(), "w1", -time.Hour); err == nil || !strings.Contains(err.Error(), "host's clock") {
		t.Error(err)
	}
}

// A root without a kernel, which is every other flavor's, makes no disk.
func TestADiskNeedsAKernel(t *testing.T) {
	t.Setenv("PROVISION_LAB_STORE", t.TempDir())
	l := testLabIn("/lab")
	if err := os.MkdirAll(filepath.Join(l.root("w1"), "boot"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.makeDisk(t.Context(), l.Machines[1]); err == nil || !strings.Contains(err.Error(), "boot/") {
		t.Error(err)
	}
}
