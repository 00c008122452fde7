package config

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Key files are looked at before any machine is.
func TestKeyFiles(t *testing.T) {
	home, dir := home(t)
	t.Setenv("PATH", "")
	private, err := os.ReadFile(home + "/other")
	if err != nil {
		t.Fatal(err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(hostKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		severity   string // "" where nothing is said
		want       string
	}{
		{"ours", string(private), 0o600, "", ""},
		{"read-only", string(private), 0o400, "", ""},
		{"open", string(private), 0o644, "warning", "(mode 0644): chmod 600 "},
		{"group", string(private), 0o640, "warning", "(mode 0640): chmod 600 "},
		{"public", string(ssh.MarshalAuthorizedKey(public)), 0o644, "", ""},
		{"empty", "", 0o600, "error", "empty holds no SSH key in a format that can be read here."},
		{"putty", "PuTTY-User-Key-File-3: ssh-ed25519\n", 0o600, "error", "putty is in PuTTY's format: puttygen "},
		{"half", string(private[:len(private)/2]), 0o600, "error", "half holds no SSH key"},
		{"certificate", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", 0o600, "error", "certificate holds no SSH key"},
		{"huge", strings.Repeat("x", maxFile+1), 0o600, "error", "huge cannot be read: it is larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := dir + "/" + c.name
			if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
			_, diags := Load(write(t, `
				cluster "c" {}
				machine "m" {
				  for_each = { m1 = 1, m2 = 2 }
				  address  = "10.0.0.${each.value}"
				  ssh { key = "`+path+`" }
				}`), nil)
			list := diags.List()
			if c.severity == "" {
				if len(list) > 0 {
					t.Errorf("got %+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].Severity != c.severity || !strings.Contains(list[0].Detail, c.want) || list[0].Line != 6 {
				t.Errorf("want one %s, %q, got %+v", c.severity, c.want, list)
			}
			if strings.Contains(list[0].Detail, string(private[50:70])) {
				t.Error("what is in the key file is shown")
			}
		})
	}
}
