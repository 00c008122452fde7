package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// cluster decodes the cluster block, or its absence, which is a mistake.
func (l *loader) cluster(block *clusterSchema, c *Cluster) {
	if block == nil {
		if !l.blind {
			l.report(nil, "Missing cluster block", "%s needs one block such as: cluster \"lab\" {}", l.file)
		}
		block = &clusterSchema{Name: "missing"}
	}
	c.Name = block.Name
	if !isLabel(c.Name) {
		l.report(block.NameRange.Ptr(), "Invalid cluster name", "%q is no name: %s.", c.Name, labelRule)
	}
	c.Version = l.version(block.Version)
	l.network(block.Network, &c.Network)
	l.overlay(block.Overlay, &c.Overlay)
	l.addons(block.Addons, &c.Addons)
	l.api(block.API, c)
	l.failover(block.Failover, &c.Failover)
	if block.Certificates != nil {
		c.Lifetime = l.seconds(block.Certificates.Lifetime, 0, 2*time.Minute, 5*365*24*time.Hour,
			"they are renewed at half of it, and processes have to hear of that in time")
	}
	c.Flags = Flags{
		APIServer:         l.flags(block.APIServer, "apiserver"),
		ControllerManager: l.flags(block.ControllerManager, "controller_manager"),
		Scheduler:         l.flags(block.Scheduler, "scheduler"),
	}
	c.Registries = l.registries(block.Registries)
	c.MaxUnavailable = l.amount(block.MaxUnavailable, Amount{Percent: 10})
	if block.Verify != nil {
		c.Verify.Outside = l.outside(block.Verify.Outside)
	}
}

// version accepts "1.36.3" and "v1.36.3".
func (l *loader) version(attr *hcl.Attribute) string {
	text := l.text(attr, "")
	version := strings.TrimPrefix(text, "v")
	if version != "" && !isVersion(version) {
		l.report(attr.Expr.Range().Ptr(), "Invalid version", "version must be a Kubernetes version in full, such as \"1.36.3\", not %q; left out, it is the newest bundle's.", text)
		return ""
	}
	return version
}

func (l *loader) network(block *networkSchema, n *Network) {
	if block == nil {
		block = &networkSchema{}
	}
	n.Pods, n.Pods6 = l.prefixes(block.Pods, "10.244.0.0/16", "fd00:244::/56")
	n.Services, n.Services6 = l.prefixes(block.Services, "10.96.0.0/16", "fd00:96::/112")
	n.NodeMask = l.number(block.NodeMask, 24, 16, 28, "Invalid node mask")
	mask6 := l.number(block.NodeMask6, 64, 48, 120, "Invalid node mask")
	if n.Pods6.IsValid() {
		n.NodeMask6 = mask6
	}
	n.Domain = l.text(block.Domain, "cluster.local")
	if !isDNSName(n.Domain) {
		l.report(block.Domain.Expr.Range().Ptr(), "Invalid domain", "domain must be a DNS name in lower case such as \"cluster.local\", not %q.", n.Domain)
	}
	l.serviceSize(block.Services, n.Services, 12, 28)
	l.serviceSize(block.Services, n.Services6, 108, 124)
}

// serviceSize checks a range of Services against its family's widest and
// narrowest mask.
func (l *loader) serviceSize(attr *hcl.Attribute, services netip.Prefix, wide, narrow int) {
	if !services.IsValid() {
		return
	}
	if bits := services.Bits(); bits > narrow {
		l.report(attr.Expr.Range().Ptr(), "Service range too small", "%s has no tenth address for DNS to spare: take /%d or wider.", services, narrow)
	} else if bits < wide {
		l.report(attr.Expr.Range().Ptr(), "Service range too wide", "Kubernetes takes no more than a /%d for Services, and %s is wider.", wide, services)
	}
}

// agentPort is overlay.AgentPort: this package knows none of ours.
const agentPort = 51821

func (l *loader) overlay(block *overlaySchema, o *Overlay) {
	if block == nil {
		block = &overlaySchema{}
	}
	o.Mode = l.choice(block.Mode, "auto", "Invalid overlay mode", "auto", "kernel", "userspace")
	o.Port = l.port(block.Port, 51820)
	if o.Port >= 30000 && o.Port <= 32767 {
		l.report(block.Port.Expr.Range().Ptr(), "Invalid port", "port must be outside of 30000 to 32767, which Kubernetes hands out to Services of type NodePort.")
	}
	if o.Port == agentPort {
		l.report(block.Port.Expr.Range().Ptr(), "Invalid port", "port must not be 51821, where the overlay's agents measure the tunnels and tell their metrics.")
	}
	o.MTU = l.number(block.MTU, 0, 0, 65455, "Invalid MTU")
	if o.MTU != 0 && o.MTU < 1280 {
		l.report(block.MTU.Expr.Range().Ptr(), "Invalid MTU", "mtu must be at least 1280, the least that every network carries, or 0, which takes it from the route.")
	}
	o.Keepalive = l.seconds(block.Keepalive, 25*time.Second, 0, 65535*time.Second, "WireGuard's count of seconds ends there, and 0 sends none")
	if l.text(block.Offloads, "") != "" {
		o.Offloads = new(l.flag(block.Offloads, true))
	}
	o.PSK = l.flag(block.PSK, false)
}

// minDetect is the least time in which a living machine can be sure to have
// renewed its lease: a renewal each second, 3 s without an API while a master
// is lost, and a back-off of up to 0.8 s in between.
const minDetect = 5 * time.Second

func (l *loader) failover(block *failoverSchema, f *Failover) {
	if block == nil {
		block = &failoverSchema{}
	}
	f.Detect = l.seconds(block.Detect, 6*time.Second, minDetect, 10*time.Minute,
		"below that, machines would count as dead while a master is being replaced")
	f.Evict = l.seconds(block.Evict, 4*time.Second, time.Second, time.Hour, "it is how long pods wait for their machine to come back")
}

// choice returns one of a few words.
func (l *loader) choice(attr *hcl.Attribute, fallback, summary string, words ...string) string {
	text := l.text(attr, "")
	if text == "" || slices.Contains(words, text) {
		return cmp.Or(text, fallback)
	}
	l.blind = true
	l.report(attr.Expr.Range().Ptr(), summary, "%s must be one of %s, not %q.", attr.Name, strings.Join(words, ", "), text)
	return fallback
}

// outside checks the name:port that verify is to reach.
func (l *loader) outside(attr *hcl.Attribute) string {
	text := l.text(attr, "")
	if text == "" {
		return ""
	}
	host, port, found := strings.Cut(text, ":")
	if !found || !ValidHost(host) || !isPort(port) {
		l.report(attr.Expr.Range().Ptr(), "Invalid outside target", "outside must be a name and a port such as \"example.org:443\", not %q.", text)
	}
	return text
}
