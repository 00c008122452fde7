package componentstest

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"provision/components"
	"provision/components/etcd"
	"provision/components/pki"
)

// unit is what systemd knows of a unit besides its file.
type unit struct {
	enabled bool
	active  string // "active", "inactive", "activating" (it is started again and again)
	file    string // content when the process was started
	sum     string // what the process carries
	deaths  int    // how often it ended by itself
}

// show is what "systemctl show" prints of units.
func (m *Machine) show(args []string) []byte {
	m.settle()
	var out strings.Builder
	for _, name := range args[1:] {
		if u := m.units[name]; u != nil {
			if u.active == "activating" {
				u.deaths++
			}
			fmt.Fprintf(&out, "Id=%s\nActiveState=%s\nNRestarts=%d\n\n", name, u.active, u.deaths)
		}
	}
	return []byte(out.String())
}

// systemctl does what systemd does, as far as actions use it.
func (m *Machine) systemctl(args []string) (code int, why string) {
	var verb string
	var names []string
	now := false
	for _, arg := range args {
		switch {
		case arg == "--now":
			now = true
		case strings.HasPrefix(arg, "-"):
		case verb == "":
			verb = arg
		default:
			names = append(names, arg)
		}
	}
	if verb == "daemon-reload" {
		m.reload()
		return 0, ""
	}
	for _, name := range names {
		if verb == "is-active" {
			if u := m.units[name]; u == nil || u.active != "active" {
				return 3, ""
			}
			continue
		}
		if verb == "enable" {
			if _, ok := m.files[components.Units+"/"+name]; !ok {
				return 1, "Failed to enable unit: Unit file " + name + " does not exist."
			}
			m.unit(name).enabled = true
			if link := wants(name); link != "" {
				m.files[link] = m.files[components.Units+"/"+name]
			}
			continue
		}
		if _, ok := m.loaded[name]; !ok {
			return 5, "Failed to " + verb + " " + name + ": Unit " + name + " not found."
		}
		u := m.unit(name)
		switch verb {
		case "show": // no job waits here: what is asked is done at once
		case "start":
			if u.active != "active" {
				m.start(name)
			}
		case "restart":
			m.start(name)
		case "stop":
			u.active = "inactive"
			if name == etcd.Unit {
				m.leave()
			}
		case "disable":
			u.enabled = false
			if now {
				u.active = "inactive"
			}
		default:
			return 64, "Unknown command verb " + verb + "."
		}
	}
	if verb == "enable" {
		m.reload()
	}
	m.settle()
	return 0, ""
}

func (m *Machine) unit(name string) *unit {
	if m.units[name] == nil {
		m.units[name] = &unit{active: "inactive"}
	}
	return m.units[name]
}

// reload reads the unit files.
func (m *Machine) reload() {
	clear(m.loaded)
	for name, f := range m.files {
		if path.Dir(name) == components.Units {
			m.loaded[path.Base(name)] = string(f.content)
		}
	}
}

// start starts a unit with the file as systemd last read it.
func (m *Machine) start(name string) {
	u := m.unit(name)
	u.file = m.loaded[name]
	u.active = "activating"
}

// settle brings up those units that only waited for what they need.
func (m *Machine) settle() {
	for name, u := range m.units {
		if u.active == "activating" && m.runs(u.file) && (name != etcd.Unit || m.etcd == nil || m.enter()) {
			u.active = "active"
			u.sum = field(u.file, "Environment=PROVISION_SUM=")
			switch name {
			case etcd.Unit:
				delete(m.files, etcd.EntryFile)
			case "provision-kubelet.service":
				if _, there := m.files[pki.KubeletServerFile]; !there { // it asks, and gets one
					m.files[pki.KubeletServerFile] = file{mode: 0o600, content: []byte(components.Sum(m.files[components.PKI+"/"+pki.ClusterCA+".crt"].content))}
				}
			}
		}
	}
}

var (
	program = regexp.MustCompile(`(?m)^ExecStart=(\S+)`)
	reads   = regexp.MustCompile(`/etc/provision/[a-z-]+\.[a-z]+`)
)

// runs says whether a unit's program and the files that it is told of are there.
func (m *Machine) runs(text string) bool {
	binary := program.FindStringSubmatch(text)
	if binary == nil {
		return true // a target
	}
	if f, ok := m.files[binary[1]]; !ok || f.mode&0o100 == 0 {
		return false
	}
	if m.Breaks != nil && m.Breaks(text) {
		return false
	}
	return !slices.ContainsFunc(reads.FindAllString(text, -1), func(name string) bool {
		_, ok := m.files[name]
		return !ok
	})
}

func field(text, prefix string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			return value
		}
	}
	return ""
}

// wants is the link by which an enabled target is started at boot; "" for other
// units, which a target of ours starts.
func wants(name string) string {
	if !strings.HasSuffix(name, ".target") {
		return ""
	}
	return components.Units + "/multi-user.target.wants/" + name
}

// boot starts what is enabled, of a machine that was just switched on.
func (m *Machine) boot() {
	m.reload()
	_, reached := m.files[wants("provision.target")]
	for name, u := range m.units {
		u.active, u.sum, u.file = "inactive", "", ""
		if _, ok := m.loaded[name]; ok && u.enabled && reached {
			m.start(name)
		}
	}
	m.settle()
}

// Stop stops a unit, as a person does.
func (m *Machine) Stop(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unit(name).active = "inactive"
	if name == etcd.Unit {
		m.leave()
	}
}
