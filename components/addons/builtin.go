package addons

import (
	"slices"

	"provision/components"
	"provision/components/manifest"
	"provision/templates"
)

// dns is CoreDNS.
func dns(c components.Cluster) Apply {
	return newApply("coredns", "CoreDNS", templates.CoreDNSYAML(templates.CoreDNS{
		Image:    c.Image("coredns"),
		Address:  c.Network.ServiceAddress(10),
		Address6: c.Network.ServiceAddress6(10),
		Domain:   c.Network.Domain,
		Replicas: replicas(c),
	}))
}

// metrics is what `kubectl top` asks.
func metrics(c components.Cluster) Apply {
	return newApply("metrics-server", "metrics-server", templates.MetricsServerYAML(templates.MetricsServer{
		Image: c.Image("metrics-server"),
	}))
}

// storage is the default StorageClass: folders of the machine that a pod runs on.
func storage(c components.Cluster) Apply {
	return newApply("local-path", "local-path storage", templates.LocalPathYAML(templates.LocalPath{
		Image:  c.Image("local-path-provisioner"),
		Helper: c.Image("volume"),
	}))
}

// choice is an addon that a file may switch off.
type choice struct {
	Apply
	on    bool
	early bool // Access applies it
}

func builtin(c components.Cluster) []choice {
	return []choice{
		{Apply: dns(c), on: c.Addons.DNS, early: true},
		{Apply: metrics(c), on: c.Addons.Metrics},
		{Apply: storage(c), on: c.Addons.Storage},
	}
}

// Optional is what can wait until the machines are settled: it applies metrics and
// storage, and deletes what was switched off.
func Optional(c components.Cluster, facts components.ClusterFacts) []components.Action {
	var wanted []Apply
	var gone []components.Action
	for _, addon := range builtin(c) {
		apply := removable(facts, addon.Apply)
		_, there := facts.Applied[apply.Name]
		noted := facts.Objects[apply.Name]
		switch {
		case addon.on && !addon.early:
			wanted = append(wanted, apply)
		case !addon.on && len(noted) > 0:
			gone = append(gone, Remove{Name: apply.Name, What: apply.What, Objects: noted})
		case !addon.on && there: // from before objects were noted
			gone = append(gone, Remove{Name: apply.Name, What: apply.What, Objects: apply.Objects})
		}
	}
	return append(missing(facts, wanted...), gone...)
}

// NeedsImages names the bundle's images that the addons run, each with the
// attribute of the cluster file that does without it.
func NeedsImages(a components.Addons) map[string]string {
	needs := map[string]string{}
	if a.DNS {
		needs["coredns"] = "dns"
	}
	if a.Metrics {
		needs["metrics-server"] = "metrics"
	}
	if a.Storage {
		needs["local-path-provisioner"], needs["volume"] = "storage", "storage"
	}
	return needs
}

// removable notes what an addon brings, and what an earlier form of it brought.
func removable(facts components.ClusterFacts, a Apply) Apply {
	objects, err := manifest.Objects(a.Manifests)
	if err != nil {
		panic("addons: " + a.Name + ": " + err.Error()) // a template of ours
	}
	a.Objects = objects
	a.Drop = without(facts.Objects[a.Name], objects)
	return a
}

// without is a list less what another one names too.
func without(list, others []components.Object) []components.Object {
	var left []components.Object
	for _, o := range list {
		if !slices.ContainsFunc(others, o.Same) {
			left = append(left, o)
		}
	}
	return left
}
