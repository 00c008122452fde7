package componentstest

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"provision/components"
	"provision/components/base"
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
	f.Sysctls = map[string]string{}
	for _, name := range base.Sysctls() {
		if value, ok := m.sysctls[name]; ok {
			f.Sysctls[name] = value
		}
	}
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
			f.Bundles = append(f.Bundles, path.Base(path.Dir(name)))
		case strings.HasPrefix(name, components.Root+"/"):
			f.BundleSums[sum] = true
		}
	}
	slices.Sort(f.Bundles)
	f.Units = map[string]components.UnitFact{}
	for name, u := range m.units {
		if !strings.HasPrefix(name, components.UnitName) || !strings.HasSuffix(name, ".service") {
			continue
		}
		onDisk := field(string(m.files[components.Units+"/"+name].content), "Environment=PROVISION_SUM=")
		f.Units[name] = components.UnitFact{
			Active: u.active, Enabled: u.enabled,
			Stale: u.active == "active" && u.sum != onDisk ||
				u.active == "activating" && m.loaded[name] != string(m.files[components.Units+"/"+name].content),
		}
	}
	var node struct{ Cluster string }
	if json.Unmarshal(m.files[components.Etc+"/node.json"].content, &node) == nil {
		f.Cluster = node.Cluster
	}
	f.Certificates = maps.Clone(m.certs)
	f.Etcd = m.etcdFact()
	return f
}

// ours says what facts look at without being asked.
func ours(name string) bool {
	return strings.HasPrefix(name, components.Etc+"/") || strings.HasPrefix(name, components.State+"/stamps/") ||
		path.Dir(name) == components.Units && strings.HasPrefix(path.Base(name), "provision")
}

// secret says what facts tell no sum of, only that it is there.
func secret(name string) bool {
	return strings.HasSuffix(name, ".key") || path.Base(name) == "encryption.yaml"
}
