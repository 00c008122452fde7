package testenv

import (
	"fmt"
	"path/filepath"
	"strings"
)

// writeKeys makes the lab's login key and each machine's host key, and returns the
// login's public line.
func (l *Lab) writeKeys() (login string, hostKeys []key, err error) {
	own, err := newKey("lab-" + l.ID)
	if err != nil {
		return "", nil, err
	}
	if err := writeFile(l.Key(), 0o600, own.private); err != nil {
		return "", nil, err
	}
	if err := writeFile(l.Key()+".pub", 0o644, []byte(own.public+"\n")); err != nil {
		return "", nil, err
	}
	var known strings.Builder
	for i, m := range l.Machines {
		k, err := newKey(m.Name)
		if err != nil {
			return "", nil, err
		}
		hostKeys = append(hostKeys, k)
		l.Machines[i].HostKey = k.public
		names := m.Name + "," + m.Address.String()
		if m.Address6.IsValid() {
			names += "," + m.Address6.String()
		}
		fmt.Fprintf(&known, "%s %s\n", names, k.public)
	}
	return own.public, hostKeys, writeFile(l.KnownHosts(), 0o644, []byte(known.String()))
}

// writeCluster writes the file that the lab exists for: its machines, as they are to be
// reached.
func (l *Lab) writeCluster() error {
	var b strings.Builder
	b.WriteString("# Written by `lab up`; goes with `lab down`.\n\n")
	b.WriteString("variable \"version\" { default = \"\" }\n\n")
	b.WriteString("cluster \"lab\" {\n  version = var.version\n  ssh {\n")
	fmt.Fprintf(&b, "    user = %s\n    key  = %s\n", quote(l.User), quote(l.Key()))
	for _, m := range l.Machines {
		if m.Role == bastionName {
			fmt.Fprintf(&b, "    bastion {\n      host     = %s\n      host_key = %s\n    }\n", quote(m.Address.String()), quote(m.HostKey))
		}
	}
	b.WriteString("  }\n")
	if l.speaks6() {
		b.WriteString("  network {\n    pods     = [\"10.244.0.0/16\", \"fd00:244::/56\"]\n    services = [\"10.96.0.0/16\", \"fd00:96::/112\"]\n  }\n")
	}
	b.WriteString("}\n")
	for _, m := range l.Machines {
		if m.Role == bastionName {
			continue
		}
		fmt.Fprintf(&b, "\nmachine %s {\n  role    = %s\n  address = %s\n", quote(m.Name), quote(m.Role), quote(m.Address.String()))
		if m.Address6.IsValid() {
			fmt.Fprintf(&b, "  address6 = %s\n", quote(m.Address6.String()))
		}
		fmt.Fprintf(&b, "  ssh { host_key = %s }\n}\n", quote(m.HostKey))
	}
	return writeFile(filepath.Join(l.Dir, "cluster.hcl"), 0o644, []byte(b.String()))
}

// quote writes text as an HCL string. Only a folder's name can hold anything odd.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "${", "$${", "%{", "%%{").Replace(text) + `"`
}
