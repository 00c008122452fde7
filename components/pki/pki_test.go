package pki

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
)

func cluster() components.Cluster {
	return components.Cluster{
		Network: components.Network{Services: netip.MustParsePrefix("10.96.0.0/16"), Domain: "cluster.local"},
		Machines: []components.MachineSpec{
			{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")},
			{Name: "w1", Role: components.Worker, Address: netip.MustParseAddr("10.0.0.2")},
		},
	}
}

// The table of ARCHITECTURE.md, "Identities".
func TestIdentities(t *testing.T) {
	const master = `
kubelet cluster-ca system:node:m1 [system:nodes] [] [client]
proxy cluster-ca system:kube-proxy [] [] [client]
agent cluster-ca provision:agent:m1 [provision:agents] [] [client]
apiserver cluster-ca kube-apiserver [] [10.0.0.1 10.96.0.1 127.0.0.1 192.0.0.11 kubernetes kubernetes.default kubernetes.default.svc kubernetes.default.svc.cluster.local localhost m1] [server]
apiserver-kubelet-client cluster-ca provision:apiserver [provision:apiservers] [] [client]
apiserver-etcd-client etcd-ca provision:apiserver:m1 [] [] [client]
etcd etcd-ca provision:etcd:m1 [] [10.0.0.1 127.0.0.1 localhost m1] [client server]
front-proxy-client front-proxy-ca front-proxy-client [] [] [client]
controller-manager cluster-ca system:kube-controller-manager [] [] [client]
scheduler cluster-ca system:kube-scheduler [] [] [client]
certificates cluster-ca provision:certificates [] [] [client]
admin cluster-ca provision:admin [provision:admins] [] [client]`
	const worker = `
kubelet cluster-ca system:node:w1 [system:nodes] [] [client]
proxy cluster-ca system:kube-proxy [] [] [client]
agent cluster-ca provision:agent:w1 [provision:agents] [] [client]`
	c := cluster()
	for i, want := range []string{master, worker} {
		var got strings.Builder
		for _, l := range Leaves(c, c.Machines[i]) {
			if err := l.Check(); err != nil {
				t.Error(err)
			}
			if l.Lifetime() != year {
				t.Errorf("%s: lifetime %v", l.Name, l.Lifetime())
			}
			got.WriteString("\n" + strings.Join([]string{l.Name, l.Authority, l.CommonName, list(l.Organizations), list(l.Names), list(l.Usages)}, " "))
		}
		if got.String() != want {
			t.Errorf("got:%s\nwant:%s", got.String(), want)
		}
	}
}

func list(words []string) string { return "[" + strings.Join(words, " ") + "]" }

func TestOnlyWhatIsDueIsWanted(t *testing.T) {
	c := cluster()
	c.Lifetime = 3 * time.Minute
	w1, now := c.Machines[1], time.Unix(1e9, 0)
	facts := func() components.Facts {
		f := components.Facts{
			Files:        map[string]components.FileFact{components.PKI + "/cluster-ca.crt": {SHA256: "ca"}},
			Certificates: map[string]components.CertFact{},
		}
		for _, l := range Leaves(c, w1) {
			f.Certificates[l.Name] = components.CertFact{CommonName: l.CommonName, Organizations: l.Organizations, Names: l.Names,
				Authority: "ca", NotBefore: now.Add(-time.Hour), NotAfter: now.Add(3 * time.Minute)}
		}
		return f
	}
	for name, test := range map[string]struct {
		change func(*components.Facts)
		want   []string
	}{
		"nothing":      {func(*components.Facts) {}, nil},
		"missing":      {func(f *components.Facts) { delete(f.Certificates, "proxy") }, []string{"proxy"}},
		"all missing":  {func(f *components.Facts) { f.Certificates = nil }, []string{"kubelet", "proxy", "agent"}},
		"a third left": {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.NotAfter = now.Add(time.Minute) }) }, nil},
		"less than a third": {func(f *components.Facts) {
			edit(f, func(c *components.CertFact) { c.NotAfter = now.Add(59 * time.Second) })
		}, []string{"agent"}},
		"expired": {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.NotAfter = now.Add(-time.Hour) }) }, []string{"agent"}},
		"another name": {func(f *components.Facts) {
			edit(f, func(c *components.CertFact) { c.CommonName = "provision:agent:w2" })
		}, []string{"agent"}},
		"another group":     {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.Organizations = nil }) }, []string{"agent"}},
		"names it had not":  {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.Names = []string{"x"} }) }, []string{"agent"}},
		"another authority": {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.Authority = "old" }) }, []string{"agent"}},
		"no key":            {func(f *components.Facts) { edit(f, func(c *components.CertFact) { c.Authority = "" }) }, []string{"agent"}},
		"no authority's file": {func(f *components.Facts) {
			f.Files = nil
			edit(f, func(c *components.CertFact) { c.Authority = "" })
		}, []string{"kubelet", "proxy", "agent"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := facts()
			test.change(&f)
			var got []string
			for _, l := range Wanted(c, w1, f, f, now) {
				got = append(got, l.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("wanted %v, want %v", got, test.want)
			}
		})
	}
}

// edit changes the agent's certificate.
func edit(f *components.Facts, change func(*components.CertFact)) {
	fact := f.Certificates["agent"]
	change(&fact)
	f.Certificates["agent"] = fact
}

// Where people outside reach the API is a name of every API server, and of nothing else.
func TestTheEndpointIsAName(t *testing.T) {
	for endpoint, want := range map[string]string{"api.example.org:443": "api.example.org", "[2001:db8::7]:6443": "2001:db8::7"} {
		c := cluster()
		c.Endpoint = endpoint
		for _, leaf := range Leaves(c, c.Machines[0]) {
			if has := slices.Contains(leaf.Names, want); has != (leaf.Name == "apiserver") {
				t.Errorf("%s: %s has the names %q", endpoint, leaf.Name, leaf.Names)
			}
		}
	}
}
