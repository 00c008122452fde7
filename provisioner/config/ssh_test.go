package config

import (
	"crypto/ed25519"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
)

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

// home makes a home with a key and known hosts in it, and a folder beside it
// for the cluster file.
func home(t *testing.T) (home, dir string) {
	t.Helper()
	home, dir = t.TempDir(), t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	block, err := ssh.MarshalPrivateKeyWithPassphrase(ed25519.NewKeyFromSeed(make([]byte, 32)), "", []byte("locked"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{filepath.Join(home, ".ssh", "id_ed25519"), filepath.Join(home, "other"), filepath.Join(dir, "near")} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home, dir
}

func loadSSH(t *testing.T, dir, text string) []SSH {
	t.Helper()
	path := filepath.Join(dir, "cluster.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	file, diags := Load(path, nil)
	if diags.HasErrors() {
		t.Fatal(diags.Diagnostics)
	}
	var all []SSH
	for _, m := range file.Machines {
		all = append(all, m.SSH)
	}
	return all
}

// Where the file says nothing, it is as with ssh itself.
func TestSSHDefaults(t *testing.T) {
	home, dir := home(t)
	t.Setenv("SSH_AUTH_SOCK", "/some/agent")
	got := loadSSH(t, dir, `
		cluster "c" {}
		machine "m1" { address = "10.0.0.1" }`)
	want := []SSH{{
		Host: "10.0.0.1", Port: 22, User: "root", Agent: true,
		Keys:       []string{filepath.Join(home, ".ssh", "id_ed25519")},
		KnownHosts: []string{filepath.Join(home, ".ssh", "known_hosts")},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A machine's ssh block is laid over the cluster's, a bastion's over both.
func TestSSHBlocksAreLaidOverEachOther(t *testing.T) {
	home, dir := home(t)
	got := loadSSH(t, dir, `
		cluster "c" {
		  ssh {
		    user        = "ubuntu"
		    port        = 2222
		    key         = ["~/other", "near"]
		    known_hosts = "hosts"
		    accept_new  = true
		    bastion {
		      host = "gate.example.org"
		      user = "jump"
		      key  = "near"
		    }
		    bastion { host = "10.9.9.9" }
		  }
		}
		machine "m1" { address = "10.0.0.1" }
		machine "m2" {
		  address = "10.0.0.2"
		  ssh {
		    user     = "root"
		    host     = "m2.example.org"
		    port     = 22
		    host_key = "`+hostKey+` a comment"
		  }
		}
		machine "m3" {
		  address = "10.0.0.3"
		  ssh {
		    user = "admin"
		    sudo = false
		    bastion {
		      host     = "other.example.org"
		      host_key = "`+hostKey+`"
		    }
		  }
		}`)
	near, other, hosts := filepath.Join(dir, "near"), filepath.Join(home, "other"), filepath.Join(dir, "hosts")
	base := SSH{Port: 2222, User: "ubuntu", Keys: []string{other, near}, KeysGiven: true, KnownHosts: []string{hosts}, AcceptNew: true}
	gate, inner := base, base
	gate.Host, gate.Port, gate.User, gate.Keys = "gate.example.org", 22, "jump", []string{near}
	inner.Host, inner.Port = "10.9.9.9", 22
	m1, m2, m3 := base, base, base
	m1.Host, m1.Sudo, m1.Bastions = "10.0.0.1", true, []SSH{gate, inner}
	m2.Host, m2.Port, m2.User, m2.HostKey, m2.Bastions = "m2.example.org", 22, "root", hostKey, []SSH{gate, inner}
	outer := base
	outer.Host, outer.Port, outer.User, outer.HostKey = "other.example.org", 22, "admin", hostKey
	m3.Host, m3.User, m3.Bastions = "10.0.0.3", "admin", []SSH{outer}
	if diff := cmp.Diff([]SSH{m1, m2, m3}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
