// Package approval has two kinds of requests signed, and nothing else: kubelets' serving
// certificates, and machines' own identities once more (renewal.go).
//
// A kubelet asks for its serving certificate itself and upstream approves no
// such request. This daemon, on every master, approves one only if each name
// and address in it is the asking machine's in our inventory. What it does not
// approve it leaves alone, for a person to decide: it never denies. Signing is
// the controller manager's.
package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"provision/components/agent/durable"
)

// maxFile bounds the configuration, in bytes.
const maxFile = 4 << 20

// config is the daemon's file: who it is and which machines there are.
type config struct {
	Kubeconfig string    `json:"kubeconfig"`
	Machines   []machine `json:"machines"`
	// Of machines' own identities, which are renewed here: the folder of the cluster's
	// authority, and how long they live.
	PKI             string `json:"pki,omitempty"`
	LifetimeSeconds int64  `json:"lifetime_seconds,omitempty"`
}

// machine is one machine's entry in the inventory. Its name is also a DNS name
// that it may serve under; names and addresses are more of each.
type machine struct {
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	Names     []string `json:"names,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
}

// load returns the file's text beside what it says, to see that it changed.
func load(path string) (config, []byte, error) {
	text, err := durable.Read(path, maxFile)
	if err != nil {
		return config{}, nil, err
	}
	c, err := parse(text)
	if err != nil {
		return config{}, text, fmt.Errorf("%s: %w", path, err)
	}
	return c, text, nil
}

func parse(text []byte) (config, error) {
	var c config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		return config{}, err
	}
	if !filepath.IsAbs(c.Kubeconfig) {
		return config{}, fmt.Errorf("kubeconfig: %q is no absolute path", c.Kubeconfig)
	}
	seen := map[string]bool{}
	for _, m := range c.Machines {
		if m.Name == "" || seen[m.Name] {
			return config{}, fmt.Errorf("machines: %q is no name, or there twice", m.Name)
		}
		seen[m.Name] = true
		for _, address := range m.addresses() {
			if _, err := netip.ParseAddr(address); err != nil {
				return config{}, fmt.Errorf("machines: %s: %w", m.Name, err)
			}
		}
	}
	return c, nil
}

func (m machine) addresses() []string {
	if m.Address == "" {
		return m.Addresses
	}
	return append([]string{m.Address}, m.Addresses...)
}

func (m machine) hasName(name string) bool {
	return name == m.Name || slices.Contains(m.Names, name)
}

func (m machine) hasAddress(address netip.Addr) bool {
	return slices.ContainsFunc(m.addresses(), func(text string) bool {
		own, err := netip.ParseAddr(text)
		return err == nil && own.Unmap() == address.Unmap()
	})
}
