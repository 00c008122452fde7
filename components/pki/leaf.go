// Package pki says which certificates a machine needs, which of them are due,
// and the two actions that make them: Init, on the first master, and Issue, on
// any machine.
//
// It decides and carries; it makes no key and signs nothing. That is done by
// "agent certificates" on the machines, which shares this package's types: a
// private key is born on its machine and never leaves it, and what passes
// through the provisioner is a request, its answer, and nothing secret.
package pki

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// The authorities, by the names of their files.
const (
	ClusterCA    = "cluster-ca"
	EtcdCA       = "etcd-ca"
	FrontProxyCA = "front-proxy-ca"
)

// Authorities are all of them, in the order in which they are made.
var Authorities = []string{ClusterCA, EtcdCA, FrontProxyCA}

// What a leaf may be used for.
const (
	Client = "client"
	Server = "server"
)

// Bounds on what a machine may ask to be signed.
const (
	MaxLeaves   = 64
	MaxNames    = 64
	MinLifetime = time.Minute
	MaxLifetime = 10 * 365 * 24 * time.Hour // an authority's own
)

// Leaf is one certificate as wanted: everything about it but its key.
type Leaf struct {
	Name            string   `json:"name"` // of its files: <name>.crt and <name>.key
	Authority       string   `json:"authority"`
	CommonName      string   `json:"common_name"`
	Organizations   []string `json:"organizations,omitempty"`
	Names           []string `json:"names,omitempty"` // DNS names and IP addresses
	Usages          []string `json:"usages"`          // Client, Server
	LifetimeSeconds int64    `json:"lifetime_seconds"`
}

// Lifetime is how long the certificate is valid from when it is signed.
func (l Leaf) Lifetime() time.Duration {
	return time.Duration(l.LifetimeSeconds) * time.Second
}

var (
	fileName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	dnsName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
)

// Check refuses a leaf that could name a file outside its folder, shadow an
// authority, or be signed into something without bounds.
func (l Leaf) Check() error {
	if !fileName.MatchString(l.Name) || slices.Contains(Authorities, l.Name) || l.Name == "service-account" {
		return fmt.Errorf("%.80q is no name for a leaf", l.Name)
	}
	if !slices.Contains(Authorities, l.Authority) {
		return fmt.Errorf("%s: authority %.80q is unknown", l.Name, l.Authority)
	}
	if !subjectWord(l.CommonName) || slices.ContainsFunc(l.Organizations, func(o string) bool { return !subjectWord(o) }) {
		return fmt.Errorf("%s: the subject is empty, too long or holds control characters", l.Name)
	}
	if len(l.Organizations) > 8 || len(l.Names) > MaxNames {
		return fmt.Errorf("%s: more than 8 organizations or %d names", l.Name, MaxNames)
	}
	for _, name := range l.Names {
		if _, err := netip.ParseAddr(name); err != nil && (len(name) > 253 || !dnsName.MatchString(name)) {
			return fmt.Errorf("%s: %.80q is neither a DNS name nor an address", l.Name, name)
		}
	}
	if len(l.Usages) == 0 {
		return fmt.Errorf("%s: no usage", l.Name)
	}
	for _, usage := range l.Usages {
		if usage != Client && usage != Server {
			return fmt.Errorf("%s: usage %.80q is unknown", l.Name, usage)
		}
	}
	if l.LifetimeSeconds < int64(MinLifetime/time.Second) || l.LifetimeSeconds > int64(MaxLifetime/time.Second) {
		return fmt.Errorf("%s: a lifetime of %d seconds is not between %v and %v", l.Name, l.LifetimeSeconds, MinLifetime, MaxLifetime)
	}
	return nil
}

func subjectWord(text string) bool {
	return text != "" && len(text) <= 256 && !strings.ContainsFunc(text, unicode.IsControl)
}

// Renewal is /etc/provision/renewal.json: what "agent certificates renew" is told.
type Renewal struct {
	LifetimeSeconds int64  `json:"lifetime_seconds"` // of what is signed
	Kubeconfig      string `json:"kubeconfig"`       // the identity with which a master is asked
}

// LeafList is what "agent certificates request" reads.
type LeafList struct {
	Leaves  []Leaf `json:"leaves"`
	NewKeys bool   `json:"new_keys,omitempty"` // keys that are there are replaced, once their certificates are
}

// Requests is what it answers, and what "sign" reads.
type Requests struct {
	Requests []Request `json:"requests"`
}

// Request is one leaf and a PEM certificate signing request, of which only the
// key is used: everything else comes from the leaf.
type Request struct {
	Leaf Leaf   `json:"leaf"`
	CSR  string `json:"csr"`
}

// Signed is what "sign" answers, and what "install" reads.
type Signed struct {
	Authorities  map[string]string `json:"authorities"` // PEM by name
	Certificates []Certificate     `json:"certificates"`
}

// Certificate is one signed leaf, in PEM.
type Certificate struct {
	Leaf        Leaf   `json:"leaf"`
	Certificate string `json:"certificate"` // and behind it, while authorities change, what leads from the old one to its issuer
}
