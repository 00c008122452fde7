package testenv

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// Options is what Up is asked for.
type Options struct {
	Dir            string    // made where missing; holds cluster.hcl, keys and lab.json
	Masters        int       // m1, m2, ...
	Workers        int       // w1, w2, ...
	User           bool      // the only login is "admin", with sudo that asks nothing
	NoDefaultRoute bool      // machines know their own subnet, and no name server
	Bastion        bool      // one machine more, and from the caller's namespace the only one that is reached
	Flavor         string    // "": bare machines; "docker": with a docker engine and nft, as many have; "kernel": what qemu boots
	IP             string    // addresses of the machines: "" or "4", "6", or "both"
	Driver         string    // what a machine is: "" or "nspawn", a container; "qemu", an emulated computer with a kernel of its own
	Log            io.Writer // a line for each step; nil for none
}

// Lab is a set of machines on one switch.
type Lab struct {
	ID       string       `json:"id"`  // six hex digits, in the name of everything that the lab makes
	Dir      string       `json:"dir"` // absolute
	Subnet   netip.Prefix `json:"subnet"`
	User     string       `json:"user"`  // the login: "root" or "admin"
	Route    bool         `json:"route"` // machines have a default route and a name server
	Driver   string       `json:"driver,omitempty"`
	Flavor   string       `json:"flavor,omitempty"` // of the machines' root image
	IP       string       `json:"ip,omitempty"`     // as in Options
	Bastion  bool         `json:"bastion"`          // machines are reached through the one called bastion
	Ready    bool         `json:"ready"`            // Up came to its end
	Machines []Machine    `json:"machines"`         // the bastion, then masters, then workers
}

// Machine is one machine of a lab.
type Machine struct {
	Name     string     `json:"name"`
	Role     string     `json:"role"`              // "master", "worker" or "bastion"
	Address  netip.Addr `json:"address"`           // of IPv6 where the machine has no other
	Address6 netip.Addr `json:"address6,omitzero"` // beside one of IPv4
	HostKey  string     `json:"host_key"`          // as in authorized_keys: "ssh-ed25519 AAAA..."
}

// How many machines have an address: masters from .11, workers from .21.
const (
	mostMasters = 10
	mostWorkers = 200
)

// Check says what is wrong with what is asked for.
func (o Options) Check() error {
	switch {
	case o.Dir == "":
		return fmt.Errorf("a lab needs a directory")
	case o.Masters < 0 || o.Workers < 0 || o.Masters+o.Workers == 0:
		return fmt.Errorf("a lab needs at least one machine")
	case o.Masters > mostMasters || o.Workers > mostWorkers:
		return fmt.Errorf("a lab has at most %d masters and %d workers", mostMasters, mostWorkers)
	}
	return cmp.Or(checkDriver(o.Driver, o.Flavor), checkIP(o), checkFlavor(o.Flavor))
}

func newMachines(subnet netip.Prefix, masters, workers int) []Machine {
	var machines []Machine
	for i := range masters {
		machines = append(machines, Machine{Name: fmt.Sprintf("m%d", i+1), Role: "master", Address: host(subnet, 11+i)})
	}
	for i := range workers {
		machines = append(machines, Machine{Name: fmt.Sprintf("w%d", i+1), Role: "worker", Address: host(subnet, 21+i)})
	}
	return machines
}

// host returns the address of the subnet (a /24) that ends in last.
func host(subnet netip.Prefix, last int) netip.Addr {
	a := subnet.Addr().As4()
	a[3] = byte(last)
	return netip.AddrFrom4(a)
}

func (l *Lab) cable() netip.Addr   { return host(l.Subnet, 1) }
func (l *Lab) gateway() netip.Addr { return host(l.Subnet, 254) }

// Machine finds a machine by its name.
func (l *Lab) Machine(name string) (Machine, error) {
	i := slices.IndexFunc(l.Machines, func(m Machine) bool { return m.Name == name })
	if i < 0 {
		return Machine{}, fmt.Errorf("the lab in %s has no machine %q; `lab list` names them", l.Dir, name)
	}
	return l.Machines[i], nil
}

// Key is the path of the private key that opens every machine of the lab.
func (l *Lab) Key() string { return filepath.Join(l.Dir, "id_ed25519") }

// KnownHosts is the path of a known_hosts file with every machine's host key.
func (l *Lab) KnownHosts() string { return filepath.Join(l.Dir, "known_hosts") }

// store is the directory on disk for what a caller's directory should not
// hold: the machines' roots. It is also how Sweep finds every lab there is.
func (l *Lab) store() string { return filepath.Join(Store(), l.ID) }

func (l *Lab) root(name string) string    { return filepath.Join(l.store(), name, "root") }
func (l *Lab) console(name string) string { return filepath.Join(l.store(), name, "console") }

// group is the name of the control group with a machine's processes.
func (l *Lab) group(name string) string { return "plab-" + l.ID + "-" + name }

// Store is the folder of all labs' roots: PROVISION_LAB_STORE, or
// /var/lib/provision-lab. It must be on a disk: an overlay file system cannot
// hold the overlays that a container runtime mounts.
func Store() string {
	if dir := os.Getenv("PROVISION_LAB_STORE"); dir != "" {
		return dir
	}
	return "/var/lib/provision-lab"
}
