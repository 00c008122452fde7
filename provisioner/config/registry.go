package config

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// registries reads the registry blocks.
func (l *loader) registries(blocks []registrySchema) []Registry {
	var registries []Registry
	for _, block := range blocks {
		r := Registry{Host: block.Host, SkipVerify: l.flag(block.SkipVerify, false), CA: l.authority(block.CA)}
		subject := block.HostRange.Ptr()
		switch same := func(other Registry) bool { return other.Host == r.Host }; {
		case !isRegistry(r.Host):
			l.report(subject, "Invalid registry", "%q is no registry: it is what an image's name begins with, a name with a port where it has one, such as \"docker.io\" or \"registry.example.org:5000\".", r.Host)
			continue
		case slices.ContainsFunc(registries, same):
			l.report(subject, "Duplicate registry", "%s has a block already: put its mirrors into one.", r.Host)
			continue
		}
		for _, mirror := range l.texts(block.Mirrors) {
			if m, ok := l.mirror(block.Mirrors, mirror); ok {
				r.Mirrors = append(r.Mirrors, m)
			}
		}
		if block.Mirrors == nil && block.CA == nil && block.SkipVerify == nil {
			l.report(subject, "Empty registry block", "A registry block needs mirrors, ca or skip_verify: without any it says nothing of %s.", r.Host)
		}
		registries = append(registries, r)
	}
	return registries
}

// isRegistry reports whether text is a registry as images' names have it.
func isRegistry(text string) bool {
	host, port, given := strings.Cut(text, ":")
	return ValidHost(host) && strings.ToLower(host) == host && !strings.HasSuffix(host, ".") && !strings.HasPrefix(host, "_") && (!given || isPort(port))
}

// mirror checks a mirror's URL and returns it without a slash at its end.
func (l *loader) mirror(attr *hcl.Attribute, text string) (string, bool) {
	u, err := url.Parse(text)
	host := ""
	if err == nil {
		host = strings.Trim(u.Hostname(), "[]")
	}
	_, notAddr := netip.ParseAddr(host)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || notAddr != nil && !ValidHost(host) || u.Port() != "" && !isPort(u.Port()) ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(text, "\"\\ ") {
		l.report(attr.Expr.Range().Ptr(), "Invalid mirror", "A mirror is a URL such as \"https://mirror.example.org\" or \"http://10.0.0.5:5000\", without a user or a query, not %q.", text)
		return "", false
	}
	return strings.TrimRight(text, "/"), true
}

// authority returns the certificates of a file.
func (l *loader) authority(attr *hcl.Attribute) string {
	name := l.text(attr, "")
	if name == "" {
		return ""
	}
	path := l.path(name)
	data, err := readFile(path)
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Unreadable certificate file", "%s cannot be read: %s.", path, reason(err))
		return ""
	}
	var clean bytes.Buffer
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if _, err := x509.ParseCertificate(block.Bytes); block.Type != "CERTIFICATE" || err != nil {
			clean.Reset()
			break
		}
		// What a person wrote around it stays here.
		if err := pem.Encode(&clean, &pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); err != nil {
			return ""
		}
	}
	if clean.Len() == 0 {
		l.report(attr.Expr.Range().Ptr(), "Invalid certificate file", "%s must hold certificates in PEM, and nothing else such as a key.", path)
	}
	return clean.String()
}
