package componentstest

import (
	"strings"
)

// bridgeSysctls are there while br_netfilter is loaded.
var bridgeSysctls = []string{"net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables"}

func (m *Machine) modprobe(name string) (code int, why string) {
	if !m.Loadable[name] && !m.Builtin[name] {
		return 1, "modprobe: FATAL: Module " + name + " not found"
	}
	m.load(name)
	return 0, ""
}

func (m *Machine) load(name string) {
	if name == "br_netfilter" && !m.modules[name] {
		for _, sysctl := range bridgeSysctls {
			m.sysctls[sysctl] = "0"
		}
	}
	m.modules[name] = true
}

// sysctl is systemd-sysctl with one file: it sets what there is and fails for
// what there is not.
func (m *Machine) sysctl(name string) (code int, why string) {
	f, ok := m.files[name]
	if !ok {
		return 1, "Failed to open file " + name + ": No such file or directory"
	}
	for line := range strings.Lines(string(f.content)) {
		key, value, ok := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if _, there := m.sysctls[key]; !there {
			code, why = 1, "Couldn't write '"+strings.TrimSpace(value)+"' to '"+key+"': No such file or directory"
			continue
		}
		m.sysctls[key] = strings.TrimSpace(value)
	}
	return code, why
}

// SetSysctl sets one, as something else on the machine does.
func (m *Machine) SetSysctl(name, value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.sysctls[name]; ok {
		m.sysctls[name] = value
	}
}

// Reboot starts the machine again: processes, modules and sysctls go, files
// stay and are read.
func (m *Machine) Reboot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, value := range New(m.name).sysctls {
		m.sysctls[name] = value
	}
	for _, name := range bridgeSysctls {
		delete(m.sysctls, name)
	}
	clear(m.modules)
	for name, f := range m.files {
		if !strings.HasPrefix(name, "/etc/modules-load.d/") {
			continue
		}
		for line := range strings.Lines(string(f.content)) {
			if module := strings.TrimSpace(line); module != "" && !strings.HasPrefix(module, "#") {
				m.modprobe(module)
			}
		}
	}
	for name := range m.files {
		if strings.HasPrefix(name, "/etc/sysctl.d/") {
			m.sysctl(name)
		}
	}
	m.boot()
}
