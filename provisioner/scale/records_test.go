package scale

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision/components"
)

// records are a machine's answer to a look, as facts/look.sh prints it.
func records(f components.Facts, generation uint64) []byte {
	var out bytes.Buffer
	say := func(form string, args ...any) { fmt.Fprintf(&out, form+"\n", args...) }
	yes := func(word string, is bool) {
		if is {
			say("%s yes", word)
		}
	}
	say("now %.6f", float64(time.Now().UnixMicro())/1e6)
	say("hostname %s", f.Hostname)
	say("machine-id %s", f.MachineID)
	say("kernel %s", f.Kernel)
	say("arch %s", f.Arch)
	say("os-id %s", f.OS.ID)
	say("os-version %s", f.OS.VersionID)
	say("os-pretty %s", f.OS.Pretty)
	say("systemd %d", f.Systemd)
	say("cgroup %d", f.Cgroup)
	say("cpus %d", f.CPUs)
	say("memory %d", f.Memory>>10)
	say("disk-free %d", f.DiskFree>>10)
	say("resolv-conf %s", f.ResolvConf)
	yes("modules-known", f.ModulesKnown)
	yes("default-route", f.DefaultRoute)
	yes("lower-oom", f.LowerOOM)
	yes("preshared", f.Preshared)
	for _, a := range f.Addresses {
		say("address eth0 %s", a)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Sysctls)) {
		say("sysctl %s %s", name, f.Sysctls[name])
	}
	for _, name := range slices.Sorted(maps.Keys(f.Modules)) {
		say("module %s", name)
	}
	for _, name := range f.Bundles {
		say("bundle %s", name)
	}
	for sum := range f.BundleSums {
		say("bundle-sum %s", sum)
	}
	for name := range f.Agents {
		say("agent %s", name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		if sum := f.Files[name].SHA256; sum != "" {
			say("file-sum %s %s", sum, name)
		}
		say("file-mode %o %s", f.Files[name].Mode, name)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Units)) {
		unit := f.Units[name]
		enabled, runs := "disabled", "sum"
		if unit.Enabled {
			enabled = "enabled"
		}
		if unit.Stale {
			runs = "another"
		}
		say("unit %s %s %s %s sum %s", name, unit.Active, enabled, runs, cmp.Or(unit.Bundle, "-"))
	}
	say("certificates %s", line(f.Certificates))
	if f.Etcd.Data {
		say("etcd-data yes")
		if f.Etcd.Member != "" {
			say("etcd %s", line(f.Etcd))
		}
	}
	if f.Cluster != "" {
		say("node %s", line(map[string]any{"cluster": f.Cluster, "address": f.Address, "network": f.Network}))
	}
	if generation > 0 {
		say("generation %d", generation)
	}
	say("end")
	return out.Bytes()
}

func line(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // maps and strings always marshal
	}
	return text
}
