package componentstest

import (
	"encoding/json"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"provision/components"
	"provision/components/base"
	"provision/components/pki"
	"provision/components/removal"
	"provision/components/runtime"
)

// Facts is what the machine says of itself, as provisioner/facts would.
func (m *Machine) Facts() components.Facts {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	f := m.Born
	f.Modules = map[string]bool{}
	for _, name := range base.Modules() {
		if m.Builtin[name] || m.Loadable[name] || m.modules[name] {
			f.Modules[name] = true
		}
	}
	f.Sysctls = maps.Clone(m.sysctls)
	f.Files = map[string]components.FileFact{}
	f.Agents, f.BundleSums = map[string]bool{}, map[string]bool{}
	for name, file := range m.files {
		sum := components.Sum(file.content)
		switch {
		case ours(name) || slices.Contains(slices.Concat(base.Paths(), runtime.Paths(components.Cluster{})), name) || strings.HasPrefix(name, components.State+"/containerd/"):
			if secret(name) {
				sum = ""
			}
			f.Files[name] = components.FileFact{SHA256: sum, Mode: uint32(file.mode)}
		case path.Base(name) == "agent" && strings.HasPrefix(name, components.Root+"/agent-"):
			f.Agents[name] = true
		case path.Base(name) == "manifest.json" && strings.HasPrefix(name, components.Root+"/"):
			damaged := m.damaged(path.Base(path.Dir(name)))
			if f.Damaged = append(f.Damaged, damaged...); len(damaged) == 0 {
				f.Bundles = append(f.Bundles, path.Base(path.Dir(name)))
			}
		case strings.HasPrefix(name, components.Root+"/"):
			f.BundleSums[sum] = true
		}
	}
	slices.SortFunc(f.Bundles, func(a, b string) int { return slices.Index(m.order, a) - slices.Index(m.order, b) })
	f.Units = map[string]components.UnitFact{}
	for name, u := range m.units {
		if !strings.HasPrefix(name, components.UnitName) || !strings.HasSuffix(name, ".service") && !strings.HasSuffix(name, ".timer") {
			continue
		}
		onDisk := field(string(m.files[components.Units+"/"+name].content), "Environment=PROVISION_SUM=")
		f.Units[name] = components.UnitFact{
			Active: u.active, Enabled: u.enabled,
			Bundle: bundleOf(string(m.files[components.Units+"/"+name].content)),
			Stale: u.active == "active" && u.sum != onDisk ||
				u.active == "activating" && m.loaded[name] != string(m.files[components.Units+"/"+name].content),
		}
	}
	f.Preshared = strings.Contains(string(m.files[components.Etc+"/overlay.json"].content), `"preshared_key_file":`)
	var node struct {
		Cluster string
		Network map[string]string
		Address netip.Addr
	}
	if json.Unmarshal(m.files[components.Etc+"/node.json"].content, &node) == nil {
		f.Cluster, f.Network, f.Address = node.Cluster, node.Network, node.Address
	}
	f.Certificates = m.certificates()
	f.Etcd = m.etcdFact()
	return f
}

// certificates is what the agent says of them.
func (m *Machine) certificates() map[string]components.CertFact {
	all := map[string]components.CertFact{}
	for name, fact := range m.certs {
		_, there := m.files[components.PKI+"/"+name+".crt"]
		known := slices.ContainsFunc(pki.Authorities, func(authority string) bool {
			f, there := m.files[components.PKI+"/"+authority+".crt"]
			return there && components.Sum(f.content) == fact.Authority
		})
		if _, key := m.files[components.PKI+"/"+name+".key"]; !key || !known {
			fact.Authority = ""
		}
		if there {
			all[name] = fact
		}
	}
	for _, folder := range []string{components.PKI, pki.NextDir, pki.PreviousDir} {
		for _, name := range pki.Authorities {
			if f, there := m.files[folder+"/"+name+".crt"]; there {
				all[strings.TrimPrefix(folder+"/"+name, components.PKI+"/")] = components.CertFact{PEM: string(f.content)}
			}
		}
	}
	if f, there := m.files[pki.KubeletServerFile]; there {
		fact := components.CertFact{Authority: string(f.content)}
		if fact.Authority != components.Sum(m.files[components.PKI+"/"+pki.ClusterCA+".crt"].content) {
			fact.Authority = ""
		}
		all[pki.KubeletServer] = fact
	}
	return all
}

// bundleOf is the id of the bundle that a unit's file runs a program of.
func bundleOf(unit string) string {
	id, _, is := strings.Cut(field(unit, "ExecStart="+components.Root+"/"), "/bin/")
	if !is || strings.HasPrefix(id, "agent-") {
		return ""
	}
	return id
}

// kubeletVersion is "v1.36.3" of the kubelet that runs.
func (m *Machine) kubeletVersion() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := bundleOf(m.units["provision-kubelet.service"].file)
	return "v" + id[:max(0, strings.LastIndex(id, "-"))]
}

// damaged are files of a bundle that are not as they were unpacked.
func (m *Machine) damaged(id string) []string {
	var damaged []string
	for _, name := range slices.Sorted(maps.Keys(m.bundles[id])) {
		if f, there := m.files[components.Root+"/"+id+"/"+name]; !there || components.Sum(f.content) != m.bundles[id][name] {
			damaged = append(damaged, id+"/"+name)
		}
	}
	return damaged
}

// ours says what facts look at without being asked.
func ours(name string) bool {
	return strings.HasPrefix(name, components.Etc+"/") || strings.HasPrefix(name, components.State+"/stamps/") ||
		path.Dir(name) == components.Units && slices.Contains(removal.Inventory().Units, path.Base(name))
}

// secret says what facts tell no sum of, only that it is there.
func secret(name string) bool {
	return strings.HasSuffix(name, ".key") || path.Base(name) == "encryption.yaml"
}
