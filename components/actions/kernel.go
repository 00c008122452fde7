package actions

import (
	"context"
	"errors"
	"strings"

	"provision/components"
)

// systemdSysctl is where every supported distribution has it. It is part of
// systemd, which a machine must have; sysctl(8) is not.
const systemdSysctl = "/usr/lib/systemd/systemd-sysctl"

// Setting is one sysctl and its value.
type Setting struct {
	Name  string // dotted
	Value string
}

// Sysctls gives the kernel the values that a file below /etc/sysctl.d holds.
type Sysctls struct {
	Of       string // component
	File     string // holds all the settings, written before
	Settings []Setting
}

// Component is the component it belongs to.
func (a Sysctls) Component() string { return a.Of }

func (a Sysctls) String() string {
	set := make([]string, len(a.Settings))
	for i, s := range a.Settings {
		set[i] = s.Name + "=" + s.Value
	}
	return "set sysctl " + strings.Join(set, ", ")
}

// Touches names each setting.
func (a Sysctls) Touches() []components.Touch {
	touches := make([]components.Touch, len(a.Settings))
	for i, s := range a.Settings {
		touches[i] = components.Touch{Kind: components.KindSysctl, Name: s.Name}
	}
	return touches
}

// Sets is the value that a sysctl is given.
func (a Sysctls) Sets(touch components.Touch) string {
	for _, s := range a.Settings {
		if s.Name == touch.Name {
			return s.Value
		}
	}
	return ""
}

// Apply has systemd read the file.
func (a Sysctls) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{systemdSysctl, a.File}, nil)
	return err
}

// Modules loads kernel modules.
type Modules struct {
	Of    string // component
	Names []string
}

// Component is the component it belongs to.
func (a Modules) Component() string { return a.Of }

func (a Modules) String() string { return "load modules " + strings.Join(a.Names, ", ") }

// Touches names each module.
func (a Modules) Touches() []components.Touch {
	touches := make([]components.Touch, len(a.Names))
	for i, name := range a.Names {
		touches[i] = components.Touch{Kind: components.KindModule, Name: name}
	}
	return touches
}

// Apply loads what is not there. That modprobe says no is no error: a module
// may be built in on a machine that has no list of modules, and what needs one
// that is really missing says so better.
func (a Modules) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	for _, name := range a.Names {
		_, err := on.Run(ctx, []string{"modprobe", "-q", name}, nil)
		if exit := (*components.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			return err
		}
	}
	return nil
}
