// Package balancer is what a machine's API balancer is told: the format of
// /etc/provision/balancer.json and its content for a cluster.
//
// It is pure data. The daemon that reads it is components/agent/balancer; who
// writes the file and the unit is the worker's component.
package balancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"provision/components"
)

// Path is the file that the daemon reads unless told otherwise.
const Path = components.Etc + "/balancer.json"

// Config is the balancer's file. It is also a list of masters that survives
// a restart: nothing else is asked before the first connection.
type Config struct {
	Listen      []netip.AddrPort `json:"listen"`
	Floating    netip.AddrPort   `json:"floating,omitzero"` // listened at as well, where nobody else does
	NodeAddress netip.Addr       `json:"node_address"`      // put on lo; the zero value (""): none
	Servers     []netip.AddrPort `json:"servers"`
	CA          string           `json:"ca"` // PEM file that the servers' certificates verify against
	Health      Health           `json:"health"`
	Follow      Follow           `json:"follow,omitzero"` // the zero value: the cluster is not asked
}

// Health is how a server is looked at. Zero values have defaults.
type Health struct {
	Interval Duration `json:"interval"` // between two looks at one server; 300ms
	Timeout  Duration `json:"timeout"`  // of one look; 500ms
}

// The defaults, and the bounds that keep a mistake from becoming a storm.
const (
	DefaultInterval = 300 * time.Millisecond
	DefaultTimeout  = 500 * time.Millisecond
	minimum         = 10 * time.Millisecond
	maximum         = time.Minute
	maxServers      = 64
)

// For is a machine's balancer's configuration. Masters also answer at the
// cluster's floating address, which only one of them has at a time.
func For(c components.Cluster, role components.Role) Config {
	config := Config{
		Listen: []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), components.PortBalancer),
			netip.AddrPortFrom(components.NodeAPI, components.PortBalancer),
		},
		NodeAddress: components.NodeAPI,
		CA:          components.PKI + "/cluster-ca-trust.pem",
		Health:      Health{Interval: Duration(DefaultInterval), Timeout: Duration(DefaultTimeout)},
		Follow: Follow{
			Certificate: components.PKI + "/agent.crt",
			Key:         components.PKI + "/agent.key",
			Kept:        components.State + "/balancer/servers.json",
		},
	}
	if role == components.Master {
		config.Floating = c.FloatingAddress()
	}
	for _, m := range c.Masters() {
		config.Servers = append(config.Servers, netip.AddrPortFrom(m.Address, components.PortAPI))
	}
	return config
}

// Encode returns the file's text.
func Encode(config Config) ([]byte, error) {
	text, err := json.MarshalIndent(config, "", "  ")
	return append(text, '\n'), err
}

// Decode reads the file, fills in defaults and refuses what cannot work.
func Decode(text []byte) (Config, error) {
	var config Config
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return Config{}, err
	}
	if config.Health.Interval == 0 {
		config.Health.Interval = Duration(DefaultInterval)
	}
	if config.Health.Timeout == 0 {
		config.Health.Timeout = Duration(DefaultTimeout)
	}
	return config, config.check()
}

func (c Config) check() error {
	if len(c.Listen) == 0 || len(c.Listen) > maxServers {
		return fmt.Errorf("listen: %d addresses", len(c.Listen))
	}
	if err := checkServers(c.Servers); err != nil {
		return err
	}
	for _, listen := range c.Listen {
		if !listen.IsValid() || slices.Contains(c.Servers, listen) {
			return fmt.Errorf("listen: %q is no address, or a server's own", listen)
		}
	}
	if f := c.Floating; f != (netip.AddrPort{}) && (!f.IsValid() || f.Port() == 0 || f.Addr().IsUnspecified() || slices.Contains(c.Servers, f) || slices.Contains(c.Listen, f)) {
		return fmt.Errorf("floating: %q is no address of its own", f)
	}
	if a := c.NodeAddress; a.IsValid() && (a.IsUnspecified() || a.IsMulticast()) {
		return fmt.Errorf("node_address: %s cannot be a machine's", a)
	}
	if !filepath.IsAbs(c.CA) {
		return fmt.Errorf("ca: %q is no absolute path", c.CA)
	}
	for _, name := range []string{c.Follow.Certificate, c.Follow.Key, c.Follow.Kept} {
		if c.Follow != (Follow{}) && !filepath.IsAbs(name) {
			return fmt.Errorf("follow: %q is no absolute path", name)
		}
	}
	for _, d := range []Duration{c.Health.Interval, c.Health.Timeout} {
		if time.Duration(d) < minimum || time.Duration(d) > maximum {
			return fmt.Errorf("health: %s is not between %s and %s", time.Duration(d), minimum, maximum)
		}
	}
	return nil
}

// Duration is a time.Duration that is written as text: "300ms".
type Duration time.Duration

// MarshalText is encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText is encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}
