package config

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshAttributes is what the three ssh-like blocks of the schema have in common.
type sshAttributes struct {
	host, user, port, key, agent, knownHosts, hostKey, acceptNew, sudo *hcl.Attribute
	bastions                                                           []bastionSchema
}

func (s *sshSchema) attributes() sshAttributes {
	if s == nil {
		return sshAttributes{}
	}
	return sshAttributes{nil, s.User, s.Port, s.Key, s.Agent, s.KnownHosts, s.HostKey, s.AcceptNew, s.Sudo, s.Bastions}
}

func (s *machineSSHSchema) attributes() sshAttributes {
	if s == nil {
		return sshAttributes{}
	}
	return sshAttributes{s.Host, s.User, s.Port, s.Key, s.Agent, s.KnownHosts, s.HostKey, s.AcceptNew, s.Sudo, s.Bastions}
}

func (s bastionSchema) attributes() sshAttributes {
	return sshAttributes{s.Host, s.User, s.Port, s.Key, s.Agent, s.KnownHosts, s.HostKey, s.AcceptNew, nil, nil}
}

// sshDefaults is what holds where the file says nothing: root at port 22, the
// keys and known hosts that ssh itself would use.
func sshDefaults() SSH {
	s := SSH{Port: 22, User: "root", Agent: os.Getenv("SSH_AUTH_SOCK") != ""}
	home, err := os.UserHomeDir()
	if err != nil {
		return s
	}
	for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
		if name = filepath.Join(home, ".ssh", name); exists(name) {
			s.Keys = append(s.Keys, name)
		}
	}
	s.KnownHosts = []string{filepath.Join(home, ".ssh", "known_hosts")}
	return s
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// ssh lays one ssh block over what it inherits.
func (l *loader) ssh(block sshAttributes, from SSH) SSH {
	s := from
	if host := l.text(block.host, ""); host != "" {
		if !ValidHost(host) {
			l.report(block.host.Expr.Range().Ptr(), "Invalid host", "host must be a name or an address, not %q; the port is an attribute of its own.", host)
		}
		s.Host = host
	}
	s.User = l.text(block.user, s.User)
	if strings.ContainsFunc(s.User, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) && block.user != nil {
		l.report(block.user.Expr.Range().Ptr(), "Invalid user", "user must be the name of a user on the machine, without spaces, not %q.", s.User)
	}
	s.Port = l.port(block.port, s.Port)
	s.Agent = l.flag(block.agent, s.Agent)
	s.AcceptNew = l.flag(block.acceptNew, s.AcceptNew)
	if keys := l.texts(block.key); keys != nil {
		s.Keys, s.KeysGiven = nil, true
		for _, name := range keys {
			s.Keys = append(s.Keys, l.keyFile(block.key, name))
		}
	}
	if files := l.texts(block.knownHosts); files != nil {
		s.KnownHosts = nil
		for _, name := range files {
			s.KnownHosts = append(s.KnownHosts, l.knownHostsFile(block.knownHosts, name, s.AcceptNew))
		}
	}
	s.HostKey = l.hostKey(block.hostKey, s.HostKey)
	if len(block.bastions) > 0 {
		s.Bastions = nil
		for _, bastion := range block.bastions {
			s.Bastions = append(s.Bastions, l.bastion(bastion, s))
		}
	}
	return s
}

// bastion is reached as the machines are, but that it has a host key and a port
// of its own.
func (l *loader) bastion(block bastionSchema, from SSH) SSH {
	from.Host, from.HostKey, from.Port, from.Bastions = "", "", 22, nil
	if block.Host == nil {
		l.report(block.DefRange.Ptr(), "Missing bastion host", "A bastion needs host, its name or address.")
	}
	return l.ssh(block.attributes(), from)
}

// sudo is what a block says of it, else what it inherits; nil: neither said.
func (l *loader) sudo(attr *hcl.Attribute, from *bool) *bool {
	value, said := l.value(attr, cty.Bool)
	if !said {
		return from
	}
	sudo := value.True()
	return &sudo
}

// keyFile checks that a key file is one. A key with a passphrase is: it is
// asked for when the key is used.
func (l *loader) keyFile(attr *hcl.Attribute, name string) string {
	path := l.path(name)
	data, err := readFile(path)
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Unreadable key file", "%s cannot be read: %s.", path, reason(err))
		return path
	}
	_, err = ssh.ParseRawPrivateKey(data)
	var locked *ssh.PassphraseMissingError
	if err == nil || errors.As(err, &locked) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			l.warn(attr.Expr.Range().Ptr(), "Key file open to others", "Others on this computer may read or change %s (mode %04o): chmod 600 %s.", path, info.Mode().Perm(), path)
		}
		return path
	}
	if bytes.HasPrefix(data, []byte("PuTTY-User-Key-File")) {
		l.report(attr.Expr.Range().Ptr(), "Invalid key file", "%s is in PuTTY's format: puttygen %s -O private-openssh -o KEY writes one that can be read here.", path, path)
		return path
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey(data); err != nil {
		l.report(attr.Expr.Range().Ptr(), "Invalid key file", "%s holds no SSH key in a format that can be read here.", path)
	}
	return path
}

func (l *loader) knownHostsFile(attr *hcl.Attribute, name string, made bool) string {
	path := l.path(name)
	if _, err := readFile(path); err != nil {
		if !made || !os.IsNotExist(err) {
			l.report(attr.Expr.Range().Ptr(), "Unreadable known hosts", "%s cannot be read: %s.", path, reason(err))
		}
	} else if _, err := knownhosts.New(path); err != nil {
		l.report(attr.Expr.Range().Ptr(), "Invalid known hosts", "%s; each line must be a host and its key, as `ssh-keyscan` prints them.", err)
	}
	return path
}

func (l *loader) hostKey(attr *hcl.Attribute, fallback string) string {
	text := strings.TrimSpace(l.text(attr, ""))
	if text == "" {
		return fallback
	}
	key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 || len(rest) > 0 {
		l.report(attr.Expr.Range().Ptr(), "Invalid host key",
			"host_key must be one public key such as \"ssh-ed25519 AAAA...\": a machine shows its own in /etc/ssh/ssh_host_ed25519_key.pub.")
		return fallback
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// ValidHost says whether a host may be a name or an address.
func ValidHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if part == "" || len(part) > 63 || strings.Trim(part, letters+strings.ToUpper(letters)+digits+"-_") != "" {
			return false
		}
	}
	return len(host) <= 253
}
