package runtime

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"provision/components"
	"provision/components/actions"
	"provision/templates"
)

// registriesDir has a folder for each registry. containerd looks there before each
// pull: nothing restarts.
const registriesDir = components.Etc + "/registries"

// registries wants the files of those that the cluster file names, and no other.
func registries(d *actions.Draft, c components.Cluster, f components.Facts) {
	wanted := map[string]bool{}
	for _, registry := range c.Registries {
		dir := path.Join(registriesDir, registry.Host)
		hosts := templates.Hosts{SkipVerify: registry.SkipVerify}
		if registry.CA != "" {
			hosts.CA = dir + "/ca.crt"
			wanted[hosts.CA] = true
			d.File(hosts.CA, 0o644, []byte(registry.CA))
		}
		for _, mirror := range registry.Mirrors {
			u, err := url.Parse(mirror)
			hosts.Mirrors = append(hosts.Mirrors, templates.Mirror{URL: mirror, Path: err == nil && u.Path != ""})
		}
		if len(hosts.Mirrors) == 0 {
			hosts.Server = "https://" + registry.Host
		}
		wanted[dir+"/hosts.toml"] = true
		d.File(dir+"/hosts.toml", 0o644, templates.HostsTOML(hosts))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		if strings.HasPrefix(name, registriesDir+"/") && !wanted[name] {
			d.Add(actions.Remove{Of: "containerd", Path: name})
		}
	}
}
