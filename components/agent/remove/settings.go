package remove

import (
	"strings"

	"provision/components/agent/durable"
)

// settings is where base tells the machine to set kernel parameters at boot.
const settings = "/etc/sysctl.d/90-provision.conf"

// keepSettings reports the kernel parameters that hold what we set, where the
// journal that says what they were is gone: nobody can put them back but a boot.
func (r *remover) keepSettings() {
	text, err := durable.Read(r.at(settings), 64<<10)
	if err != nil {
		return // nothing was ever set
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		name, _ = strings.CutPrefix(strings.TrimSpace(name), "-")
		now, err := durable.Read(r.at(parameter(name)), 64<<10)
		if err == nil && fields(string(now)) == fields(value) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		r.kept("kernel settings "+strings.Join(names, ", "),
			"the journal that says what they were before us is gone; they are the machine's own again after it restarts")
	}
}

// parameter is a sysctl's file. In its name dots separate, and a slash stands for a dot.
func parameter(name string) string {
	return "/proc/sys/" + strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
