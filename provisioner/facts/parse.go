package facts

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"provision/components"
)

// maxRecords bounds what a machine can make us keep; a big one has a few hundred.
const maxRecords = 20000

// parse reads the script's records. A record it does not know is an error: it
// would be a script and a parser that disagree, or a machine that plays games.
func parse(out []byte) (components.Facts, time.Time, error) {
	p := parser{facts: components.Facts{
		Modules:      map[string]bool{},
		Agents:       map[string]bool{},
		BundleSums:   map[string]bool{},
		Files:        map[string]components.FileFact{},
		Units:        map[string]components.UnitFact{},
		Sysctls:      map[string]string{},
		Certificates: map[string]components.CertFact{},
	}}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 4<<20)
	count := 0
	for lines.Scan() {
		if count++; count > maxRecords {
			return components.Facts{}, time.Time{}, fmt.Errorf("more than %d records", maxRecords)
		}
		word, rest, _ := strings.Cut(lines.Text(), " ")
		if word == "end" {
			return p.facts, p.now, nil
		}
		read, ok := records[word]
		if !ok {
			return components.Facts{}, time.Time{}, fmt.Errorf("unknown record %q", shorten(word))
		}
		if err := read(&p, rest); err != nil {
			return components.Facts{}, time.Time{}, fmt.Errorf("%s %q: %w", word, shorten(rest), err)
		}
	}
	if err := lines.Err(); err != nil {
		return components.Facts{}, time.Time{}, err
	}
	return components.Facts{}, time.Time{}, errors.New("the answer ends early")
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

type parser struct {
	facts components.Facts
	now   time.Time
}

// records says how each record is read.
var records = map[string]func(p *parser, rest string) error{
	"now": func(p *parser, rest string) error {
		seconds, err := strconv.ParseFloat(rest, 64)
		p.now = time.UnixMicro(int64(seconds * 1e6))
		return err
	},
	"hostname":      text(func(f *components.Facts) *string { return &f.Hostname }),
	"machine-id":    text(func(f *components.Facts) *string { return &f.MachineID }),
	"boot-id":       text(func(f *components.Facts) *string { return &f.BootID }),
	"kernel":        text(func(f *components.Facts) *string { return &f.Kernel }),
	"os-id":         text(func(f *components.Facts) *string { return &f.OS.ID }),
	"os-version":    text(func(f *components.Facts) *string { return &f.OS.VersionID }),
	"os-pretty":     text(func(f *components.Facts) *string { return &f.OS.Pretty }),
	"selinux":       text(func(f *components.Facts) *string { return &f.SELinux }),
	"resolv-conf":   text(func(f *components.Facts) *string { return &f.ResolvConf }),
	"systemd":       number(func(f *components.Facts) *int { return &f.Systemd }),
	"cgroup":        number(func(f *components.Facts) *int { return &f.Cgroup }),
	"cpus":          number(func(f *components.Facts) *int { return &f.CPUs }),
	"memory":        kibibytes(func(f *components.Facts) *uint64 { return &f.Memory }),
	"disk-free":     kibibytes(func(f *components.Facts) *uint64 { return &f.DiskFree }),
	"root-free":     kibibytes(func(f *components.Facts) *uint64 { return &f.RootFree }),
	"noexec":        func(p *parser, _ string) error { p.facts.NoExec = true; return nil },
	"read-only":     func(p *parser, rest string) error { p.facts.ReadOnly = append(p.facts.ReadOnly, rest); return nil },
	"control":       func(p *parser, rest string) error { p.facts.Control = strings.Fields(rest); return nil },
	"modules-known": func(p *parser, _ string) error { p.facts.ModulesKnown = true; return nil },
	"default-route": func(p *parser, _ string) error { p.facts.DefaultRoute = true; return nil },
	"lower-oom":     func(p *parser, _ string) error { p.facts.LowerOOM = true; return nil },
	"module":        func(p *parser, rest string) error { p.facts.Modules[rest] = true; return nil },
	"agent":         func(p *parser, rest string) error { p.facts.Agents[rest] = true; return nil },
	"bundle-sum":    func(p *parser, rest string) error { p.facts.BundleSums[rest] = true; return nil },
	"bundle-damaged": func(p *parser, rest string) error {
		p.facts.Damaged = append(p.facts.Damaged, rest)
		return nil
	},
	"bundle":        func(p *parser, rest string) error { p.facts.Bundles = append(p.facts.Bundles, rest); return nil },
	"trace":         func(p *parser, rest string) error { p.facts.Traces = append(p.facts.Traces, rest); return nil },
	"foreign":       func(p *parser, rest string) error { p.facts.Foreign = append(p.facts.Foreign, rest); return nil },
	"arch":          readArch,
	"firewall":      readFirewall,
	"firewall-rule": readFirewallRule,

	"node": readNode,

	"overlay-problem": readOverlayProblem,
	"preshared":       func(p *parser, _ string) error { p.facts.Preshared = true; return nil },
	"etcd-data":       func(p *parser, _ string) error { p.facts.Etcd.Data = true; return nil },
	"etcd":            readEtcd,

	"address":   readAddress,
	"sysctl":    readSysctl,
	"file-sum":  readFileSum,
	"file-mode": readFileMode,
	"unit":      readUnit,
	"listen":    readListener,
	"generation": func(p *parser, rest string) (err error) {
		p.facts.Generation, err = strconv.ParseUint(rest, 10, 64)
		return err
	},
	"certificates": func(p *parser, rest string) error {
		if rest == "" {
			return nil // an agent that cannot say is an agent without certificates
		}
		return json.Unmarshal([]byte(rest), &p.facts.Certificates)
	},
}

func text(field func(*components.Facts) *string) func(*parser, string) error {
	return func(p *parser, rest string) error {
		*field(&p.facts) = rest
		return nil
	}
}

func number(field func(*components.Facts) *int) func(*parser, string) error {
	return func(p *parser, rest string) error {
		n, err := strconv.Atoi(rest)
		*field(&p.facts) = n
		return err
	}
}

func kibibytes(field func(*components.Facts) *uint64) func(*parser, string) error {
	return func(p *parser, rest string) error {
		n, err := strconv.ParseUint(rest, 10, 50)
		*field(&p.facts) = n << 10
		return err
	}
}
