package balancer

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
)

func cluster() components.Cluster {
	return components.Cluster{Machines: []components.MachineSpec{
		{Name: "m1", Role: components.Master, Address: netip.MustParseAddr("10.0.0.1")},
		{Name: "w1", Role: components.Worker, Address: netip.MustParseAddr("10.0.0.2")},
		{Name: "m2", Role: components.Master, Address: netip.MustParseAddr("10.0.0.3")},
	}}
}

func TestTheFileOfACluster(t *testing.T) {
	text, err := Encode(For(cluster(), components.Master))
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "listen": [
    "127.0.0.1:6444",
    "192.0.0.11:6444"
  ],
  "node_address": "192.0.0.11",
  "servers": [
    "10.0.0.1:6443",
    "10.0.0.3:6443"
  ],
  "ca": "/etc/provision/pki/cluster-ca-trust.pem",
  "health": {
    "interval": "300ms",
    "timeout": "500ms"
  },
  "follow": {
    "certificate": "/etc/provision/pki/agent.crt",
    "key": "/etc/provision/pki/agent.key",
    "kept": "/var/lib/provision/balancer/servers.json"
  }
}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	back, err := Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(For(cluster(), components.Master), back, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	good := `{"listen":["127.0.0.1:6444"],"servers":["10.0.0.1:6443"],"ca":"/ca"}`
	if config, err := Decode([]byte(good)); err != nil || config.Health.Interval != Duration(DefaultInterval) || config.NodeAddress.IsValid() {
		t.Fatalf("%+v, %v", config, err)
	}
	for name, test := range map[string]struct{ old, new, want string }{
		"no listener":            {`["127.0.0.1:6444"]`, `[]`, "listen: 0"},
		"no server":              {`["10.0.0.1:6443"]`, `[]`, "servers: 0"},
		"a name":                 {`10.0.0.1:6443`, `master:6443`, "unable to parse"},
		"no port":                {`10.0.0.1:6443`, `10.0.0.1:0`, "no address of a server"},
		"floating at a server's": {`"ca"`, `"floating":"10.0.0.1:6443","ca"`, "no address of its own"},
		"floating anywhere":      {`"ca"`, `"floating":"0.0.0.0:6443","ca"`, "no address of its own"},
		"twice":                  {`["10.0.0.1:6443"]`, `["10.0.0.1:6443","10.0.0.1:6443"]`, "twice"},
		"itself":                 {`10.0.0.1:6443`, `127.0.0.1:6444`, "a server's own"},
		"relative ca":            {`"/ca"`, `"ca"`, "no absolute path"},
		"unknown":                {`"ca"`, `"cb"`, "unknown field"},
		"storm":                  {`"ca"`, `"health":{"interval":"1ns"},"ca"`, "not between"},
		"never":                  {`"ca"`, `"health":{"timeout":"9h"},"ca"`, "not between"},
		"no duration":            {`"ca"`, `"health":{"timeout":"9"},"ca"`, "duration"},
		"to all":                 {`"ca"`, `"node_address":"0.0.0.0","ca"`, "cannot be a machine's"},
		"to the world":           {`10.0.0.1:6443`, `0.0.0.0:6443`, "no address of a server"},
		"no JSON at all":         {`{"listen"`, `listen`, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(strings.Replace(good, test.old, test.new, 1)))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestMastersAnswerAtTheFloatingAddress(t *testing.T) {
	for endpoint, want := range map[string]string{
		"":                     "invalid AddrPort",
		"api.example.org:6443": "invalid AddrPort",
		"10.0.0.3:443":         "invalid AddrPort", // m2's own
		"10.0.0.9:443":         "10.0.0.9:443",
	} {
		c := cluster()
		c.Endpoint = endpoint
		if got := For(c, components.Master).Floating.String(); got != want {
			t.Errorf("%q: a master answers at %s, want %s", endpoint, got, want)
		}
		if got := For(c, components.Worker).Floating; got.IsValid() {
			t.Errorf("%q: a worker answers at %s", endpoint, got)
		}
	}
}
