package config

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// example loads a file of examples/ as somebody without keys and agent has it.
func example(t *testing.T, name string) *File {
	t.Helper()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("SSH_AUTH_SOCK", "")
	file, diags := Load(name, nil)
	var shown strings.Builder
	Write(&shown, diags, false)
	if shown.Len() > 0 {
		t.Fatalf("%s:\n%s", name, shown.String())
	}
	return file
}

// The Vagrantfile makes the machines that the cluster file beside it names. It
// is evaluated by Ruby with a stand-in for Vagrant; testenv/examples.sh installs Ruby.
func TestVagrantfileMakesTheMachinesOfItsFile(t *testing.T) {
	ruby, err := exec.LookPath("ruby")
	if err != nil {
		t.Skip("there is no Ruby to evaluate the Vagrantfile")
	}
	output, err := exec.Command(ruby, "testdata/vagrant.rb", "../../examples/vagrant/Vagrantfile").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	type machine struct {
		Box, Hostname, Address string
		Memory, CPUs           map[string]int
	}
	var made map[string]machine
	if err := json.Unmarshal(output, &made); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	var got []string
	for name, m := range made {
		got = append(got, name+" "+m.Address)
		if m.Box != "debian/bookworm64" || m.Hostname != name {
			t.Errorf("%s is %s, called %s", name, m.Box, m.Hostname)
		}
		for _, provider := range []string{"virtualbox", "libvirt"} {
			if m.Memory[provider] < 1500 || m.CPUs[provider] < 2 {
				t.Errorf("%s: %d MiB and %d CPUs with %s", name, m.Memory[provider], m.CPUs[provider], provider)
			}
		}
	}
	var want []string
	for _, m := range example(t, "../../examples/vagrant/cluster.hcl").Machines {
		want = append(want, m.Name+" "+m.Address.String())
		if m.SSH.User != "vagrant" || !m.SSH.Sudo || len(m.SSH.Keys) > 0 {
			t.Errorf("%s: %+v", m.Name, m.SSH)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-cluster.hcl +Vagrantfile:\n%s", diff)
	}
}

// With Vagrant's own variable set, each machine is opened by the key that Vagrant made for it.
func TestVagrantKeys(t *testing.T) {
	home, dir := home(t)
	text, err := os.ReadFile("../../examples/vagrant/cluster.hcl")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(home, "other"))
	if err != nil {
		t.Fatal(err)
	}
	var want, got [][]string
	for _, name := range []string{"m1", "w1", "w2"} {
		file := filepath.Join(dir, ".vagrant/machines", name, "libvirt/private_key")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, key, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, []string{file})
	}
	t.Setenv("VAGRANT_DEFAULT_PROVIDER", "libvirt")
	for _, s := range loadSSH(t, dir, string(text)) {
		got = append(got, s.Keys)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// multipass stands in for Multipass: it keeps what it is told to launch, and
// shows machines with addresses and host keys.
const multipass = `#!/bin/sh
case $1 in
info) [ -e "$0.$2" ] ;;
launch) echo "$@" >"$0.$4"; cat >>"$0.$4" ;;
list) echo 'Name,State,IPv4,IPv6,Release,AllIPv4'; n=1
  for name in m1 w1 w2; do echo "$name,Running,${ADDRESS:-10.93.10.1$n},,Ubuntu 24.04 LTS,\"10.93.10.1$n,10.244.0.1\""; n=$((n + 1)); done ;;
exec) echo "$KEY root@$2" ;;
*) exit 2 ;;
esac
`

// multipassUp runs a copy of the example's up.sh and returns its folder.
func multipassUp(t *testing.T, env ...string) (dir string, output string, err error) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range []string{"up.sh", "cluster.hcl", "cloud-init.yaml"} {
		data, err := os.ReadFile("../../examples/multipass/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"multipass": multipass, "key.pub": hostKey + " me: & \"you\"\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	up := exec.Command("sh", filepath.Join(dir, "up.sh"), filepath.Join(dir, "key.pub"))
	up.Env = append(os.Environ(), append(env, "PATH="+dir+":"+os.Getenv("PATH"))...)
	said, err := up.CombinedOutput()
	return dir, string(said), err
}

// up.sh launches the machines with the user's key and writes a file with their
// addresses and host keys.
func TestMultipassScript(t *testing.T) {
	const shown = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
	dir, said, err := multipassUp(t, "KEY="+shown)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for i, m := range example(t, filepath.Join(dir, "site.hcl")).Machines {
		want := []string{"m1 10.93.10.11", "w1 10.93.10.12", "w2 10.93.10.13"}[i]
		if got := m.Name + " " + m.Address.String(); got != want || m.SSH.HostKey != shown || m.SSH.User != "ubuntu" {
			t.Errorf("got %s with %+v, want %s", got, m.SSH, want)
		}
		launched, err := os.ReadFile(filepath.Join(dir, "multipass."+m.Name))
		if err != nil || !strings.Contains(string(launched), "\n  - "+hostKey+"\n") {
			t.Errorf("%s was launched with (%v):\n%s", m.Name, err, launched)
		}
	}
}

// What a machine shows gets into the file only where it looks as it should.
func TestMultipassScriptTrustsNoMachine(t *testing.T) {
	for env, want := range map[string]string{
		`KEY=ssh-ed25519 AAAA"|;e`:           "shows no ed25519 host key",
		"KEY=":                               "shows no ed25519 host key",
		"ADDRESS=10.0.0.1\" } machine \"x\"": "shows no IPv4 address of m1",
		"ADDRESS=--":                         "shows no IPv4 address of m1",
	} {
		dir, said, err := multipassUp(t, env)
		if err == nil || !strings.Contains(said, want) {
			t.Errorf("%s: %v: %s", env, err, said)
		}
		if _, err := os.Stat(filepath.Join(dir, "site.hcl")); err == nil {
			t.Errorf("%s: it wrote a file all the same", env)
		}
	}
}
