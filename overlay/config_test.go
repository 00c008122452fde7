package overlay

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	pods4     = Range{netip.MustParsePrefix("10.244.0.0/16"), 24}
	pods6     = Range{netip.MustParsePrefix("fd00:244::/56"), 64}
	services4 = netip.MustParsePrefix("10.96.0.0/16")
)

func testConfig() Config {
	return Default("w1", netip.MustParseAddr("192.0.2.1"), pods4, services4)
}

func TestConfigReadsWhatItWrites(t *testing.T) {
	c := testConfig()
	c.Endpoint = netip.MustParseAddrPort("198.51.100.1:51820")
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseConfig(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(c, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})); d != "" {
		t.Error(d)
	}
}

func TestConfigMistakes(t *testing.T) {
	if err := testConfig().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	for _, test := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"no node", func(c *Config) { c.Node = "" }, "node is empty"},
		{"loopback", func(c *Config) { c.Address = netip.MustParseAddr("127.0.0.1") }, "not one that other machines can reach"},
		{"mode", func(c *Config) { c.Mode = "fast" }, `mode "fast"`},
		{"port", func(c *Config) { c.Port = 65536 }, "port 65536"},
		{"mtu", func(c *Config) { c.MTU = 1000 }, "mtu 1000"},
		{"no pods", func(c *Config) { c.Pods = nil }, "pods is empty"},
		{"host bits", func(c *Config) { c.Pods[0].Prefix = netip.MustParsePrefix("10.244.0.1/16") }, "without host bits"},
		{"mask too wide", func(c *Config) { c.Pods[0].NodeMask = 8 }, "node_mask 8"},
		{"mask too narrow", func(c *Config) { c.Pods[0].NodeMask = 30 }, "node_mask 30"},
		{"two of a family", func(c *Config) { c.Pods = append(c.Pods, Range{netip.MustParsePrefix("10.245.0.0/16"), 24}) }, "of one family"},
		{"services in pods", func(c *Config) { c.Services = []netip.Prefix{netip.MustParsePrefix("10.244.9.0/24")} }, "overlaps pods"},
		{"address in pods", func(c *Config) { c.Address = netip.MustParseAddr("10.244.0.7") }, "lies in pods"},
		{"two sources", func(c *Config) { c.StaticNodes = "/nodes.json" }, "not both"},
		{"relative", func(c *Config) { c.StateDir = "state" }, "state_dir"},
	} {
		c := testConfig()
		test.spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestConfigTellsEveryMistake(t *testing.T) {
	_, err := ParseConfig([]byte(`{"mode":"auto"}`))
	if err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := ParseConfig([]byte(`{"node":"a","colour":"red"}`)); err == nil || !strings.Contains(err.Error(), "colour") {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestKeys(t *testing.T) {
	private := NewPrivateKey()
	again, err := ParsePrivateKey(private.PrivateKeyText())
	if err != nil || again != private {
		t.Errorf("read back: %v", err)
	}
	// RFC 7748, 6.1: Alice.
	alice := PrivateKey{0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f, 0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a}
	if got, want := alice.Public().String(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="; got != want {
		t.Errorf("public key %s, want %s", got, want)
	}
	for _, text := range []string{"", "short", strings.Repeat("A", 44), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTm!=", Key{}.String()} {
		if err := new(Key).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a key", text)
		}
	}
	if private.String() != "(private key)" {
		t.Error("a private key prints")
	}
}
