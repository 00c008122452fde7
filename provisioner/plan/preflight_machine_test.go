package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"provision/components"
)

// spoil changes what w1 says of itself.
func spoil(found Facts, change func(*components.Facts)) {
	f := found.Machines["w1"]
	change(&f)
	found.Machines["w1"] = f
}

func listening(proto, addr, process string) func(*components.Facts) {
	return func(f *components.Facts) {
		f.Listening = append(f.Listening, components.Listener{Proto: proto, Addr: netip.MustParseAddrPort(addr), Process: process})
	}
}

// modules makes w1's kernel known to have these and no others.
func modules(names ...string) func(*components.Facts) {
	return func(f *components.Facts) {
		f.ModulesKnown, f.Modules = true, map[string]bool{}
		for _, name := range names {
			f.Modules[name] = true
		}
	}
}

// TestARefusalSaysWhatWouldBeRight has one line for each reason not to touch a
// machine: what is found there, and the words of the one sentence.
func TestARefusalSaysWhatWouldBeRight(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*components.Facts)
		want   []string // words of the sentence
	}{
		"no systemd":   {func(f *components.Facts) { f.Systemd = 0 }, []string{"does not run systemd", "take an image"}},
		"another arch": {func(f *components.Facts) { f.Arch = "arm64" }, []string{"is arm64", "the bundle is for amd64"}},
		"SELinux":      {func(f *components.Facts) { f.SELinux = "enforcing" }, []string{"enforces SELinux", "setenforce 0"}},
		"another OS": {func(f *components.Facts) {
			f.OS = components.OS{ID: "alpine", VersionID: "3.20", Pretty: "Alpine Linux v3.20"}
		}, []string{"runs Alpine Linux v3.20; supported are Debian 12"}},
		"an old OS": {func(f *components.Facts) {
			f.OS = components.OS{ID: "ubuntu", VersionID: "20.04", Pretty: "Ubuntu 20.04"}
		}, []string{"Ubuntu 20.04", "22.04 and later"}},
		"an unknown OS":    {func(f *components.Facts) { f.OS = components.OS{} }, []string{"a system without /etc/os-release"}},
		"an old kernel":    {func(f *components.Facts) { f.Kernel = "5.10.0-30-amd64" }, []string{"kernel 5.10.0-30-amd64; 5.13 or later"}},
		"an odd kernel":    {func(f *components.Facts) { f.Kernel = "next" }, []string{`"next" cannot be read`}},
		"little memory":    {func(f *components.Facts) { f.Memory = 512 << 20 }, []string{"512 MiB of memory; a worker needs 700"}},
		"a full disk":      {func(f *components.Facts) { f.DiskFree = 1 << 30 }, []string{"1024 MiB free below /var/lib; 2048 are needed"}},
		"a small /opt":     {func(f *components.Facts) { f.RootFree = 100 << 20 }, []string{"100 MiB free below /opt; 512 are needed"}},
		"read-only":        {func(f *components.Facts) { f.ReadOnly = []string{"/opt"} }, []string{"cannot write to /opt", "mount it read-write"}},
		"no memory groups": {func(f *components.Facts) { f.Control = []string{"cpuset", "cpu", "io", "pids"} }, []string{"without the control groups' memory;", "cgroup_enable=memory"}},
		"noexec":           {func(f *components.Facts) { f.NoExec = true }, []string{"noexec", "mount it with exec"}},
		"a late clock":     {func(f *components.Facts) { f.ClockSkew = -3 * time.Minute }, []string{"differs from this computer's by -3m0s", "NTP"}},
		"another address":  {func(f *components.Facts) { f.Addresses = []netip.Prefix{netip.MustParsePrefix("10.0.0.9/24")} }, []string{"does not have the address 192.0.2.2", "it has 10.0.0.9", "ssh.host"}},
		"no address":       {func(f *components.Facts) { f.Addresses = nil }, []string{"it has none but loopback"}},
		"links in pods":    {func(f *components.Facts) { f.Addresses = append(f.Addresses, netip.MustParsePrefix("10.244.7.1/24")) }, []string{"10.244.7.1", "network.pods"}},
		"a foreign one":    {func(f *components.Facts) { f.Foreign = []string{"k3s is installed (/usr/local/bin/k3s)"} }, []string{"k3s is installed", "remove that first"}},
		"a kubelet's port": {listening("tcp", "0.0.0.0:10250", "kubelet"), []string{"TCP port 10250 by kubelet", "stop what listens there"}},
		"a tunnel's port":  {listening("udp", "[::]:51820", ""), []string{"UDP port 51820;"}},
		"no bridge":        {modules("nf_tables", "overlay", "tun"), []string{"without br_netfilter", "linux-modules-extra-6.1.0"}},
		"no nftables":      {modules("br_netfilter", "overlay", "tun"), []string{"without nf_tables"}},
		"no overlayfs":     {modules("br_netfilter", "nf_tables", "tun"), []string{"without overlay;"}},
		"no tunnel":        {modules("br_netfilter", "nf_tables", "overlay"), []string{"without wireguard or tun"}},
		"a twin":           {func(f *components.Facts) { f.MachineID = "m1" }, []string{"machine-id of m1", "systemd-machine-id-setup"}},
		"a namesake":       {func(f *components.Facts) { f.Hostname = "m1" }, []string{`hostname of m1 ("m1")`, "hostnamectl"}},
		"m1's address":     {func(f *components.Facts) { f.Addresses = append(f.Addresses, netip.MustParsePrefix("192.0.2.1/32")) }, []string{"has 192.0.2.1 on one of its links, which is the address of m1"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, found := sound()
			spoil(found, test.change)
			problems := Preflight(c, found)
			if len(problems) != 1 || problems[0].Machine != "w1" {
				t.Fatalf("got %v", problems)
			}
			for _, words := range test.want {
				if !strings.Contains(problems[0].Text, words) {
					t.Errorf("%q lacks %q", problems[0].Text, words)
				}
			}
		})
	}
}

func TestWhatIsNoReasonToRefuse(t *testing.T) {
	for name, change := range map[string]func(*components.Facts){
		"a later kernel":         func(f *components.Facts) { f.Kernel = "6.18.3" },
		"Debian testing":         func(f *components.Facts) { f.OS = components.OS{ID: "debian", Pretty: "Debian trixie/sid"} },
		"a port of another link": listening("tcp", "172.17.0.1:10250", "docker"),
		"a master's port":        listening("tcp", "0.0.0.0:6443", "nginx"),
		"a UDP port":             listening("udp", "0.0.0.0:10250", ""),
		"our own port": func(f *components.Facts) {
			listening("tcp", "0.0.0.0:10250", "node")(f)
			f.Units = map[string]components.UnitFact{"provision-kubelet.service": {Active: "active"}}
		},
		"our own bridge": func(f *components.Facts) {
			f.Addresses = append(f.Addresses, netip.MustParsePrefix("10.244.1.1/24"))
			f.Units = map[string]components.UnitFact{"provision-kubelet.service": {Active: "active"}}
		},
		"all control groups":      func(f *components.Facts) { f.Control = []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"} },
		"a kernel without a list": func(f *components.Facts) { f.Modules = nil },
		"a kernel with all":       modules("br_netfilter", "nf_tables", "overlay", "wireguard"),
	} {
		t.Run(name, func(t *testing.T) {
			c, found := sound()
			spoil(found, change)
			if problems := Preflight(c, found); len(problems) > 0 {
				t.Errorf("got %v", problems)
			}
		})
	}
}

func TestTheTunnelThatIsAskedFor(t *testing.T) {
	for mode, want := range map[string]string{"kernel": "wireguard", "auto": "", "userspace": ""} {
		c, found := sound()
		c.Overlay.Mode = mode
		spoil(found, modules("br_netfilter", "nf_tables", "overlay", "tun"))
		problems := Preflight(c, found)
		if (len(problems) > 0) != (want != "") || want != "" && !strings.Contains(problems[0].Text, want) {
			t.Errorf("%s: %v", mode, problems)
		}
	}
}

func TestAMasterNeedsMoreThanAWorker(t *testing.T) {
	c, found := sound()
	m1 := found.Machines["m1"]
	m1.Memory = 1 << 30
	m1.Listening = []components.Listener{{Proto: "tcp", Addr: netip.MustParseAddrPort("[::]:2379"), Process: "etcd"}}
	found.Machines["m1"] = m1
	spoil(found, func(f *components.Facts) { f.Memory = 1 << 30 })
	var got []string
	for _, problem := range Preflight(c, found) {
		got = append(got, problem.Error())
	}
	want := []string{
		"m1: has 1024 MiB of memory; a master needs 1400",
		"m1: has ports taken that the cluster needs: TCP port 2379 by etcd; stop what listens there, or move it",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestABundleThatIsThereNeedsNoRoom(t *testing.T) {
	c, found := sound()
	spoil(found, func(f *components.Facts) { f.DiskFree, f.RootFree, f.Bundles = 1, 1, []string{c.Bundle.ID} })
	if problems := Preflight(c, found); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
}

// The overlay's agent listens on addresses of its own: only who takes the port
// everywhere is in its way.
func TestWhoTakesTheAgentsPort(t *testing.T) {
	for address, bad := range map[string]bool{"0.0.0.0": true, "::": true, "127.0.0.1": false} {
		for _, proto := range []string{"tcp", "udp"} {
			c, found := sound()
			spoil(found, func(f *components.Facts) {
				f.Listening = []components.Listener{{Proto: proto, Addr: netip.AddrPortFrom(netip.MustParseAddr(address), 51821), Process: "stranger"}}
			})
			if problems := Preflight(c, found); (len(problems) > 0) != bad {
				t.Errorf("%s at %s: %v", proto, address, problems)
			}
		}
	}
}
