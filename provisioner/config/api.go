package config

import (
	"net"
	"net/netip"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// apiPort is components.PortAPI: this package knows none of ours.
const apiPort = "6443"

// api reads where people outside reach the API: a name or an address, with a
// port where it is not the API servers' own.
func (l *loader) api(block *apiSchema, c *Cluster) {
	if block == nil {
		return
	}
	l.extraSANs(block.ExtraSANs, c)
	text := l.text(block.Endpoint, "")
	if text == "" {
		return
	}
	subject := block.Endpoint.Expr.Range().Ptr()
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), apiPort
	}
	addr, notAddr := netip.ParseAddr(host)
	name := strings.TrimSuffix(strings.ToLower(host), ".")
	switch {
	case !isPort(port), notAddr != nil && (!isDNSName(name) || only(name, digits+".")):
		l.report(subject, "Invalid endpoint", "endpoint must be a name or an address, with a port where it is not %s: \"api.example.org\", \"203.0.113.7:443\" or \"[2001:db8::7]:6443\"; not %q.", apiPort, text)
	case notAddr != nil && (taken[name] != "" || name == "kubernetes.default" || strings.HasPrefix(name, "kubernetes.default.")):
		l.report(subject, "Invalid endpoint", "%q means something else on every machine and in every pod: take the name by which the API is reached from outside.", name)
	case notAddr != nil:
		c.API.Endpoint = net.JoinHostPort(name, port)
	case !reachable(addr):
		l.report(subject, "Invalid endpoint", "%s is no address at which the API could be reached from outside.", addr)
	case c.Network.holds(addr):
		l.report(subject, "Endpoint inside the cluster", "%s lies in a range of pods or Services: an endpoint is an address of the network around them.", addr)
	default:
		c.API.Endpoint = net.JoinHostPort(addr.String(), port)
	}
}

// mostSANs leaves room for those that every certificate has.
const mostSANs = 32

// extraSANs reads names and addresses: nobody but their own API server may be called so.
func (l *loader) extraSANs(attr *hcl.Attribute, c *Cluster) {
	names := l.texts(attr)
	if len(names) > mostSANs {
		l.report(attr.Expr.Range().Ptr(), "Too many names", "%s has %d names, and a certificate of ours holds %d beside its own.", attr.Name, len(names), mostSANs)
		return
	}
	for _, text := range names {
		name := strings.TrimSuffix(strings.ToLower(text), ".")
		addr, notAddr := netip.ParseAddr(text)
		switch subject := attr.Expr.Range().Ptr(); {
		case notAddr != nil && (!isDNSName(name) || only(name, digits+".")), notAddr == nil && addr.Zone() != "":
			l.report(subject, "Invalid name", "%s holds names and addresses such as \"api.example.org\" and \"203.0.113.7\", without a port or a star; %q is neither.", attr.Name, text)
		case notAddr == nil:
			c.API.ExtraSANs = append(c.API.ExtraSANs, addr.Unmap().String())
		default:
			c.API.ExtraSANs = append(c.API.ExtraSANs, name)
		}
	}
}

// holds says that an address is of pods or Services.
func (n Network) holds(addr netip.Addr) bool {
	for _, prefix := range []netip.Prefix{n.Pods, n.Pods6, n.Services, n.Services6} {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
