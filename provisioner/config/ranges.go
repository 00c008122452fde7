package config

import (
	"net/netip"

	"github.com/hashicorp/hcl/v2"
)

// prefixes returns one range, of IPv4, or two, of which IPv4's comes first; none
// where something is wrong with either.
// fallback is what holds where nothing was said; example6 is for sentences alone.
func (l *loader) prefixes(attr *hcl.Attribute, fallback, example6 string) (v4, v6 netip.Prefix) {
	texts := l.texts(attr)
	if len(texts) == 0 {
		if texts != nil {
			l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s is an empty list: it holds a range such as %q, and one of IPv6 after it where the cluster is to have both families.", attr.Name, fallback)
		}
		return netip.MustParsePrefix(fallback), v6
	}
	if len(texts) > 2 {
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s has %d ranges: Kubernetes takes one of IPv4, and one of IPv6 after it.", attr.Name, len(texts))
		return v4, v6
	}
	v4 = l.prefix(attr, texts[0], fallback)
	switch {
	case !v4.IsValid():
		return v4, v6
	case v4.Addr().Is6():
		if len(texts) == 2 {
			l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s begins with IPv6: write the IPv4 range first, which is what machines and the API have.", attr.Name)
		} else {
			l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s must have an IPv4 range such as %q, and may have one of IPv6 after it; clusters of IPv6 alone are not supported.", attr.Name, fallback)
		}
		return netip.Prefix{}, v6
	case len(texts) == 1:
		return v4, v6
	}
	v6 = l.prefix(attr, texts[1], example6)
	if v6.IsValid() && v6.Addr().Is4() {
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s has two IPv4 ranges: the second is for IPv6, such as %q.", attr.Name, example6)
		v6 = netip.Prefix{}
	}
	if !v6.IsValid() {
		return v6, v6 // one without the other would be taken for a family that is missing
	}
	return v4, v6
}

// prefix returns a range without host bits, of either family.
func (l *loader) prefix(attr *hcl.Attribute, text, example string) netip.Prefix {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s must be a range such as %q, not %q.", attr.Name, example, text)
	case p != p.Masked():
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s has bits set after its mask; the range is written %q.", attr.Name, p.Masked())
	case unusable(p) && p.Addr().Is4():
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s is set aside for another use (loopback, link-local, multicast or 192.0.0.0/24); take a private range such as %q.", p, example)
	case unusable(p):
		l.report(attr.Expr.Range().Ptr(), "Invalid address range", "%s is set aside for another use (loopback, IPv4 in IPv6, link-local or multicast); take a private range such as %q.", p, example)
	default:
		return p
	}
	return netip.Prefix{}
}

// reserved are ranges that no pod, Service or machine may have an address in.
// 192.0.0.0/24 holds the address at which pods find the API.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/8"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

func unusable(p netip.Prefix) bool {
	for _, r := range reserved {
		if p.Overlaps(r) {
			return true
		}
	}
	return false
}
