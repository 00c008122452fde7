package config

import (
	"net"
	"net/netip"
	"strings"
)

// apiPort is components.PortAPI: this package knows none of ours.
const apiPort = "6443"

// api reads where people outside reach the API: a name or an address, with a
// port where it is not the API servers' own.
func (l *loader) api(block *apiSchema, c *Cluster) {
	if block == nil {
		return
	}
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

// holds says that an address is of pods or Services.
func (n Network) holds(addr netip.Addr) bool {
	for _, prefix := range []netip.Prefix{n.Pods, n.Pods6, n.Services, n.Services6} {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
