package components

import (
	"cmp"
	"encoding/json"
	"strings"
)

// Object names one object of the API, as its manifest does.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"` // "": none was given
	Name       string `json:"name"`
}

// Namespaces are those of every cluster, which nobody deletes.
var Namespaces = []string{"default", "kube-node-lease", "kube-public", "kube-system"}

// String is "Deployment kube-system/coredns".
func (o Object) String() string {
	if o.Namespace != "" {
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
	return o.Kind + " " + o.Name
}

// Same says that both name the same object: of an API group there are several
// versions, and no namespace is the one called default.
func (o Object) Same(p Object) bool {
	return o.group() == p.group() && o.Kind == p.Kind && o.Name == p.Name &&
		cmp.Or(o.Namespace, "default") == cmp.Or(p.Namespace, "default")
}

func (o Object) group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return "" // "v1"
	}
	return group
}

// ParseObjects reads what the inventory holds of an addon. A value that cannot be
// read is one of nothing.
func ParseObjects(text string) []Object {
	var list []Object
	if json.Unmarshal([]byte(text), &list) != nil {
		return nil
	}
	return list
}
