package testenv

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

func testLabIn(dir string) *Lab {
	subnet := netip.MustParsePrefix("192.168.60.0/24")
	return &Lab{ID: "0a1b2c", Dir: dir, Subnet: subnet, User: "root", Route: true, Machines: newMachines(subnet, 1, 2)}
}

func TestMachinesHaveNamesAndAddresses(t *testing.T) {
	var got []string
	for _, m := range testLabIn("/lab").Machines {
		got = append(got, m.Name+" "+m.Role+" "+m.Address.String())
	}
	want := []string{"m1 master 192.168.60.11", "w1 worker 192.168.60.21", "w2 worker 192.168.60.22"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The most machines that may be asked for have addresses of their own, none of them the
// cable's or the gateway's.
func TestAddressesDoNotCollide(t *testing.T) {
	l := testLabIn("/lab")
	seen := map[netip.Addr]string{l.cable(): "cable", l.gateway(): "gateway", host(l.Subnet, 255): "broadcast"}
	for _, m := range newMachines(l.Subnet, mostMasters, mostWorkers) {
		if other, taken := seen[m.Address]; taken || !l.Subnet.Contains(m.Address) {
			t.Errorf("%s has %s, as has %s", m.Name, m.Address, other)
		}
		seen[m.Address] = m.Name
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want string
	}{
		{Options{Dir: "d", Masters: 1}, ""},
		{Options{Dir: "d", Workers: 3}, ""},
		{Options{Masters: 1}, "directory"},
		{Options{Dir: "d"}, "at least one"},
		{Options{Dir: "d", Masters: -1, Workers: 3}, "at least one"},
		{Options{Dir: "d", Masters: mostMasters + 1}, "at most"},
	} {
		err := test.o.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.o, err, test.want)
		}
	}
}

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "lab up") {
		t.Errorf("no lab: %v", err)
	}
	lab := testLabIn(dir)
	if err := lab.save(); err != nil {
		t.Fatal(err)
	}
	got, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	prefixes := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	if diff := cmp.Diff(lab, got, equal, prefixes); diff != "" {
		t.Error(diff)
	}
	// The id becomes part of paths that are removed.
	lab.ID = "../.."
	if err := lab.save(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a strange id was taken")
	}
}

func TestLockIsExclusive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "lock")
	unlock, err := lock(name, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(name, 0); err == nil {
		t.Error("locked twice")
	}
	unlock()
	if unlock, err = lock(name, 0); err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestKeysAndClusterFile(t *testing.T) {
	lab := testLabIn(filepath.Join(t.TempDir(), `a "b" ${c}`))
	if err := os.Mkdir(lab.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	login, hostKeys, err := lab.writeKeys()
	if err != nil {
		t.Fatal(err)
	}
	signer, err := lab.signer()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))); got != login {
		t.Errorf("the key on disk is %s, the one given to machines %s", got, login)
	}
	for i, m := range lab.Machines {
		if m.HostKey != hostKeys[i].public {
			t.Errorf("%s: host key %q", m.Name, m.HostKey)
		}
		if _, err := ssh.ParsePrivateKey(hostKeys[i].private); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
	if err := lab.writeCluster(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(lab.Dir, "cluster.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	key := strings.NewReplacer(`"`, `\"`, "${", "$${").Replace(lab.Key())
	for _, want := range []string{
		`variable "version" { default = "" }`,
		"    user = \"root\"\n    key  = \"" + key + "\"\n",
		"machine \"w2\" {\n  role    = \"worker\"\n  address = \"192.168.60.22\"\n  ssh { host_key = \"" + lab.Machines[2].HostKey + "\" }\n}",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("cluster.hcl lacks %s:\n%s", want, got)
		}
	}
}
