package addons

import (
	"slices"
	"strconv"
	"strings"

	"provision/components"
)

// ownPrefix begins the names of the user's addons in the inventory.
const ownPrefix = "addon."

// Own applies the user's addons as the file has them, and takes away those that
// left it.
func Own(c components.Cluster, facts components.ClusterFacts) []components.Action {
	var keep []components.Object // whoever brought them before
	for _, a := range c.Own {
		keep = append(keep, a.Objects...)
	}
	var list []components.Action
	for _, key := range sortedKeys(facts.Objects) {
		name, is := strings.CutPrefix(key, ownPrefix)
		if is && !slices.ContainsFunc(c.Own, func(a components.Addon) bool { return a.Name == name }) {
			list = append(list, Remove{Name: key, What: "addon " + name, Objects: deletable(without(facts.Objects[key], keep))})
		}
	}
	for _, a := range c.Own {
		key := ownPrefix + a.Name
		if len(a.Objects) > 0 && facts.Applied[key] != a.Sum {
			list = append(list, Apply{
				Name: key, What: "addon " + a.Name + " (" + count(len(a.Objects)) + "), and wait until it is healthy",
				Manifests: a.Manifests, Sum: a.Sum, Objects: a.Objects, Drop: deletable(without(facts.Objects[key], keep)),
				Manager: "provision-addon-" + a.Name, Namespace: a.Namespace, Healthy: true,
			})
		}
	}
	return list
}

// deletable leaves out the namespaces that are there in every cluster.
func deletable(objects []components.Object) []components.Object {
	return slices.DeleteFunc(objects, func(o components.Object) bool {
		return o.Kind == "Namespace" && slices.Contains(components.Namespaces, o.Name)
	})
}

// Clashes names the objects of the user's addons that are provision's own, each with
// its addon.
func Clashes(c components.Cluster) map[components.Object]string {
	ours := []components.Object{
		{APIVersion: "v1", Kind: "ConfigMap", Namespace: "kube-system", Name: inventoryName},
	}
	for _, apply := range All(c) {
		ours = append(ours, removable(components.ClusterFacts{}, apply).Objects...)
	}
	clashes := map[components.Object]string{}
	for _, a := range c.Own {
		for _, o := range a.Objects {
			if slices.ContainsFunc(ours, o.Same) {
				clashes[o] = a.Name
			}
		}
	}
	return clashes
}

func count(objects int) string {
	if objects == 1 {
		return "1 object"
	}
	return strconv.Itoa(objects) + " objects"
}
