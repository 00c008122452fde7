package pki

import (
	"net/netip"
	"slices"
	"time"

	"provision/components"
)

// year is how long a leaf lives where the cluster file does not say.
const year = 365 * 24 * time.Hour

// Leaves are the identities that a machine needs: ARCHITECTURE.md's table, as
// values. Kubelets' serving certificates are upstream's affair.
func Leaves(c components.Cluster, m components.MachineSpec) []Leaf {
	leaves := []Leaf{
		client("kubelet", ClusterCA, "system:node:"+m.Name, "system:nodes"),
		client("proxy", ClusterCA, "system:kube-proxy"),
		client("agent", ClusterCA, "provision:agent:"+m.Name, "provision:agents"),
	}
	if m.Role == components.Master {
		leaves = append(leaves,
			Leaf{Name: "apiserver", Authority: ClusterCA, CommonName: "kube-apiserver", Usages: []string{Server}, Names: apiNames(c, m)},
			client("apiserver-kubelet-client", ClusterCA, "provision:apiserver", "provision:apiservers"),
			client("apiserver-etcd-client", EtcdCA, "provision:apiserver:"+m.Name),
			// An etcd member is its peers' client with the same certificate.
			Leaf{Name: "etcd", Authority: EtcdCA, CommonName: "provision:etcd:" + m.Name, Usages: []string{Client, Server},
				Names: sorted(m.Name, "localhost", m.Address.String(), "127.0.0.1")},
			client("front-proxy-client", FrontProxyCA, "front-proxy-client"),
			client("controller-manager", ClusterCA, "system:kube-controller-manager"),
			client("scheduler", ClusterCA, "system:kube-scheduler"),
			client("certificates", ClusterCA, "provision:certificates"),
			client("admin", ClusterCA, "provision:admin", "provision:admins"),
		)
	}
	lifetime := Lifetime(c)
	for i := range leaves {
		leaves[i].LifetimeSeconds = int64(lifetime / time.Second)
	}
	return leaves
}

// Lifetime is how long a cluster's certificates live.
func Lifetime(c components.Cluster) time.Duration {
	if c.Lifetime == 0 {
		return year
	}
	return c.Lifetime
}

func client(name, authority, commonName string, organizations ...string) Leaf {
	return Leaf{Name: name, Authority: authority, CommonName: commonName, Organizations: organizations, Usages: []string{Client}}
}

// apiNames is every name by which someone calls this machine's API server.
func apiNames(c components.Cluster, m components.MachineSpec) []string {
	names := []string{m.Name, "localhost",
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.Network.Domain,
		m.Address.String(), c.Network.ServiceAddress(1).String(), "127.0.0.1", components.NodeAPI.String()}
	if host := c.EndpointHost(); host != "" {
		names = append(names, host)
	}
	return sorted(append(names, c.ExtraSANs...)...)
}

func sorted(names ...string) []string {
	for i, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			names[i] = addr.Unmap().String()
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Wanted are those of a machine's leaves that must be issued now: not there,
// with less than a third of their lifetime left, of another authority than the
// signer's, or saying something else than wanted. Lifetimes are measured against what is
// wanted, not against the certificate, whose beginning is dated back for clocks that lag.
func Wanted(c components.Cluster, m components.MachineSpec, facts, signer components.Facts, now time.Time) []Leaf {
	var wanted []Leaf
	for _, leaf := range Leaves(c, m) {
		if have, ok := facts.Certificates[leaf.Name]; !ok || !serves(leaf, have, signer, now) {
			wanted = append(wanted, leaf)
		}
	}
	return wanted
}

func serves(leaf Leaf, have components.CertFact, signer components.Facts, now time.Time) bool {
	authority := Sum(signer, leaf.Authority)
	return authority != "" && have.Authority == authority &&
		have.NotAfter.Sub(now) >= leaf.Lifetime()/3 &&
		have.CommonName == leaf.CommonName &&
		slices.Equal(sorted(slices.Clone(have.Organizations)...), sorted(slices.Clone(leaf.Organizations)...)) &&
		slices.Equal(sorted(slices.Clone(have.Names)...), sorted(slices.Clone(leaf.Names)...))
}
