package remove

import (
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/journal"
)

// settings is the file of the list that tells the machine to set kernel
// parameters at boot.
func (r *remover) settings() string {
	for _, file := range r.list.Own.Files {
		if path.Dir(file.Path) == "/etc/sysctl.d" {
			return file.Path
		}
	}
	return ""
}

// journalLost says that we changed this machine and the journal does not know: the
// file with the settings is one of the first that a machine gets, and recorded.
func (r *remover) journalLost(entries []journal.Entry) bool {
	_, err := os.Lstat(r.at(r.settings()))
	return err == nil && !slices.ContainsFunc(entries, func(e journal.Entry) bool { return e.Kind == components.KindFile && e.Name == r.settings() })
}

// removeManagerFolder deletes the folders made for a file that NetworkManager
// reads, which only the journal would know to be ours. Where it is installed it
// has a file beside them.
func (r *remover) removeManagerFolder() {
	const manager = "/etc/NetworkManager"
	entries, err := os.ReadDir(r.at(manager))
	if err != nil || len(entries) != 1 || entries[0].Name() != "conf.d" {
		return
	}
	for _, dir := range []string{manager + "/conf.d", manager} {
		if unix.Rmdir(r.at(dir)) == nil {
			r.removed("folder %s", dir)
		}
	}
}

// keepSettings reports the kernel parameters that hold what we set, where the
// journal that says what they were is gone: nobody can put them back but a boot.
func (r *remover) keepSettings() {
	text, err := durable.Read(r.at(r.settings()), 64<<10)
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
