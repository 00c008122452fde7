package componentstest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"provision/components"
	"provision/components/etcd"
)

// Machine is a machine made of memory. Its methods may be called from several
// goroutines; the fields may be set before.
type Machine struct {
	// What it is from birth: the part of Facts that nothing of ours changes.
	Born components.Facts
	// Builtin are the modules that it has loaded; Loadable those that modprobe finds.
	Builtin, Loadable map[string]bool
	// Fail is asked before each effect ("run systemctl start ...", "write /etc/..."),
	// and what it returns is the effect's error. It makes a run die anywhere.
	Fail func(effect string) error
	// Shims are the bundles that pods began with which still run.
	Shims map[string]bool
	// Breaks says of a unit's text that its program ends at once.
	Breaks func(unit string) bool

	name    string
	mu      sync.Mutex
	files   map[string]file
	sysctls map[string]string
	modules map[string]bool
	units   map[string]*unit
	loaded  map[string]string // unit files as systemd last read them
	images  map[string]bool
	bundles map[string]map[string]string // of each bundle the sums of its files, as they were unpacked
	order   []string                     // in which they came
	certs   map[string]components.CertFact
	etcd    *ensemble // of its site
	log     []string
}

type file struct {
	mode    fs.FileMode
	content []byte
}

// New returns a bare Debian-like machine without WireGuard.
func New(name string) *Machine {
	return &Machine{
		Born: components.Facts{
			Hostname: name, Arch: "amd64", Kernel: "6.1.0-30-amd64", Systemd: 252, Cgroup: 2, CPUs: 2,
			Memory: 4 << 30, DiskFree: 40 << 30, OS: components.OS{ID: "debian", VersionID: "12", Pretty: "Debian GNU/Linux 12"},
			DefaultRoute: true, ResolvConf: "/etc/resolv.conf", LowerOOM: true,
		},
		Builtin:  map[string]bool{"nf_tables": true},
		Loadable: map[string]bool{"br_netfilter": true, "overlay": true, "tun": true},
		name:     name,
		files:    map[string]file{},
		sysctls: map[string]string{
			"kernel.keys.root_maxbytes": "25000000", "kernel.keys.root_maxkeys": "1000000", "kernel.panic": "0",
			"kernel.panic_on_oops": "1", "vm.overcommit_memory": "0", "vm.panic_on_oom": "0", "net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0",
			"net.core.somaxconn": "4096", "vm.max_map_count": "65530", "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
		},
		modules: map[string]bool{},
		units:   map[string]*unit{},
		loaded:  map[string]string{},
		images:  map[string]bool{},
		bundles: map[string]map[string]string{},
		certs:   map[string]components.CertFact{},
	}
}

// Name is the machine's name.
func (m *Machine) Name() string { return m.name }

// Log is what was done to the machine, one effect each.
func (m *Machine) Log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// File returns a file's content, and whether there is one.
func (m *Machine) File(name string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	return f.content, ok
}

// Remove removes a file, as a person with too much time does.
func (m *Machine) Remove(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, name)
}

// Running are the names of the units that are active.
func (m *Machine) Running() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle()
	var names []string
	for name, u := range m.units {
		if u.active == "active" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (m *Machine) effect(text string) error {
	if m.Fail != nil {
		if err := m.Fail(text); err != nil {
			return err
		}
	}
	m.log = append(m.log, text)
	return nil
}

// ReadFile reads a file, or a sysctl below /proc/sys.
func (m *Machine) ReadFile(ctx context.Context, name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if rest, ok := strings.CutPrefix(name, "/proc/sys/"); ok {
		if value, ok := m.sysctls[strings.ReplaceAll(rest, "/", ".")]; ok {
			return []byte(value + "\n"), nil
		}
	} else if f, ok := m.files[name]; ok {
		return slices.Clone(f.content), nil
	}
	return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
}

// WriteFile writes a file.
func (m *Machine) WriteFile(ctx context.Context, name string, mode fs.FileMode, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !path.IsAbs(name) || path.Clean(name) != name {
		return fmt.Errorf("write %s: not a clean absolute path", name)
	}
	if err := m.effect("write " + name); err != nil {
		return err
	}
	m.files[name] = file{mode: mode.Perm(), content: slices.Clone(data)}
	return nil
}

// Run runs the commands that actions use; any other does not exist.
func (m *Machine) Run(ctx context.Context, argv []string, stdin io.Reader) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(argv) == 0 {
		return nil, fmt.Errorf("run: no command")
	}
	if err := m.effect("run " + strings.Join(argv, " ")); err != nil {
		return nil, err
	}
	fails := func(code int, why string) ([]byte, error) {
		return nil, &components.ExitError{Argv: argv, Code: code, Stderr: []byte(why + "\n")}
	}
	var out []byte
	code, why := 0, ""
	switch command := path.Base(argv[0]); command {
	case "systemctl":
		if slices.Contains(argv, "show") {
			out = m.show(argv[1:])
		}
		code, why = m.systemctl(argv[1:])
	case "networkctl":
		code, why = 1, "systemd-networkd is not running, please start it first."
	case "modprobe":
		code, why = m.modprobe(argv[len(argv)-1])
	case "systemd-sysctl":
		code, why = m.sysctl(argv[1])
	case "journalctl":
		out = []byte("it did not like its flags\n")
	case "find":
		for _, name := range slices.Sorted(maps.Keys(m.files)) {
			if path.Dir(name) == argv[1] {
				out = fmt.Appendln(out, path.Base(name))
			}
		}
	case "sh":
		if strings.Contains(argv[2], ".removing-") {
			m.prune(argv[7:])
			break
		}
		f, ok := m.files[argv[len(argv)-1]]
		if !ok || !strings.Contains(argv[2], "sha256sum") {
			return fails(1, "No such file or directory")
		}
		out = summed(f.content)
	case "chmod":
		f := m.files[argv[2]]
		if _, err := fmt.Sscanf(argv[1], "%o", &f.mode); err != nil {
			return fails(1, "invalid mode")
		}
		m.files[argv[2]] = f
	case "rm":
		for name := range m.files {
			if last := argv[len(argv)-1]; name == last || argv[1] == "-rf" && strings.HasPrefix(name, last+"/") {
				delete(m.files, name)
			}
		}
	case "ctr":
		if stdin != nil { // an archive
			if _, err := io.Copy(io.Discard, stdin); err != nil {
				return nil, err
			}
		}
	case "test":
		code = 1
		if m.exists(argv[len(argv)-1]) {
			code = 0
		}
	case "stat":
		f, ok := m.files[argv[len(argv)-1]]
		if !ok {
			return fails(1, "No such file or directory")
		}
		return fmt.Appendf(nil, "%o\n", f.mode), nil
	case "node":
		if f, ok := m.files[argv[0]]; !ok || f.mode&0o100 == 0 || len(argv) < 3 {
			return fails(127, argv[0]+": not found")
		}
		m.settle()
		switch argv[1] {
		case "apiserver", "controller-manager", "scheduler":
			code, why = tryFlags(argv[2:])
		case "etcd-members":
			out, code, why = m.members(argv[2:])
		case "etcd-snapshot":
			if m.etcdFact().Leader == "" {
				return fails(1, "etcd does not serve")
			}
			m.files[etcd.SnapshotFolder+"/upgrade-"+option(argv, "--of")+time.Now().UTC().Format("-20060102T150405Z.db")] = file{0o600, snapshot()}
		case "etcd-recover":
			out, code, why = m.recover(argv[2:])
		default:
			return fails(64, "usage")
		}
	case "agent":
		if f, ok := m.files[argv[0]]; !ok || f.mode&0o100 == 0 {
			return fails(127, argv[0]+": not found")
		}
		out, code, why = m.agent(argv[1:], stdin)
	default:
		return fails(127, argv[0]+": not found")
	}
	if code != 0 {
		return fails(code, why)
	}
	return out, nil
}

// tryFlags is a component that reads its flags and gives help: it knows most.
func tryFlags(args []string) (code int, why string) {
	for _, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "--no-such-") {
			return 1, "Error: unknown flag: " + name
		}
	}
	return 0, ""
}

func (m *Machine) exists(name string) bool {
	if module, ok := strings.CutPrefix(name, "/sys/module/"); ok {
		return m.Builtin[module] || m.modules[module]
	}
	for path := range maps.Keys(m.files) {
		if path == name || strings.HasPrefix(path, name+"/") {
			return true
		}
	}
	return false
}
