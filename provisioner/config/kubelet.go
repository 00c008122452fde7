package config

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// kubeletFields is what a KubeletConfiguration may hold: a line for each field,
// with its path and the kind of its value. A test writes it from upstream's type,
// which itself would bring much with it that a computer at a desk does not need.
//
//go:embed kubelet.txt
var kubeletFields string

var kubeletKinds = func() map[string]string {
	kinds := map[string]string{}
	for line := range strings.Lines(kubeletFields) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		kinds[name] = kind
	}
	return kinds
}()

// kubeletOwned are the fields that follow from something else, by what that is.
var kubeletOwned = map[string]string{
	"apiVersion": "it is the kubelet's own", "kind": "it is the kubelet's own",
	"address": "it is the machine's address", "port": "API servers look for kubelets at it", "enableServer": "API servers ask it for logs",
	"healthzPort": "checks look for it", "healthzBindAddress": "checks look for it", "readOnlyPort": "it would answer anybody",
	"authentication": "the cluster's authority says who may ask", "authorization": "the API says who may do what",
	"tlsCertFile": "the cluster signs kubelets' certificates", "tlsPrivateKeyFile": "the cluster signs kubelets' certificates",
	"serverTLSBootstrap": "the cluster signs kubelets' certificates", "rotateCertificates": "`provision up` renews the kubelet's identity",
	"clusterDomain": "it is network.domain", "clusterDNS": "it follows from network.services", "podCIDR": "the cluster hands out pod subnets",
	"cgroupDriver": "it must be containerd's, and follows from the machine", "containerRuntimeEndpoint": "it is our containerd's",
	"imageServiceEndpoint": "it is our containerd's", "protectKernelDefaults": "the machine's kernel settings are ours: see sysctls",
	"nodeLeaseDurationSeconds": "it follows from failover.detect", "nodeStatusUpdateFrequency": "it follows from failover.detect",
	"nodeStatusReportFrequency": "it follows from failover.detect",
	"registerWithTaints":        "it follows from the machine's taints", "registerNode": "the machine's Node is made by `provision up`",
	"runOnce": "a kubelet that ends is no node",
}

// kubelet lays a kubelet block over what it inherits. The result is what JSON
// makes of it: maps, lists, strings, booleans and json.Number.
func (l *loader) kubelet(block *kubeletSchema, from map[string]any) map[string]any {
	if block == nil {
		return from
	}
	said := l.settings(block.Settings)
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if why, owned := kubeletOwned[name]; owned {
			l.report(block.Settings.Expr.Range().Ptr(), "Reserved setting", "%s is set by the cluster itself: %s.", name, why)
			delete(said, name)
			continue
		}
		l.kubeletField(block.Settings, name, said[name])
	}
	if said == nil {
		said = map[string]any{}
	}
	if pods := l.number(block.MaxPods, 0, 1, 65535, "Invalid number of pods"); pods > 0 {
		if _, twice := said["maxPods"]; twice {
			l.report(block.MaxPods.Expr.Range().Ptr(), "Duplicate setting", "max_pods and settings.maxPods are the same: say it once.")
		}
		said["maxPods"] = json.Number(strconv.Itoa(pods))
	}
	return layOver(said, from)
}

// layOver returns a map with what is said over what is there: maps in it are laid
// over one another too, anything else takes the other's place.
func layOver(said, from map[string]any) map[string]any {
	all := maps.Clone(from)
	if all == nil && len(said) > 0 {
		all = map[string]any{}
	}
	for name, value := range said {
		inner, isMap := value.(map[string]any)
		below, wasMap := all[name].(map[string]any)
		if isMap && wasMap {
			value = layOver(inner, below)
		}
		all[name] = value
	}
	return all
}

// settings reads a map of anything; what is null in it counts as left out.
func (l *loader) settings(attr *hcl.Attribute) map[string]any {
	value, ok := l.value(attr, cty.DynamicPseudoType)
	if !ok {
		return nil
	}
	if t := value.Type(); !t.IsObjectType() && !t.IsMapType() {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s must be a map such as { maxPods = 200 }, not %s.", attr.Name, kindOf(t))
		return nil
	}
	text, err := ctyjson.Marshal(value, value.Type())
	if err != nil {
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s holds something that JSON has no word for: %s.", attr.Name, err)
		return nil
	}
	var settings map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	if err := decoder.Decode(&settings); err != nil {
		return nil // what was marshalled a moment ago is JSON
	}
	dropNull(settings)
	return settings
}

func dropNull(in map[string]any) {
	for name, value := range in {
		if inner, is := value.(map[string]any); is {
			dropNull(inner)
		} else if value == nil {
			delete(in, name)
		}
	}
}

// kubeletField checks one setting against upstream's type: kubelet itself passes
// over a name that it does not know, and does not start with a value of another kind.
func (l *loader) kubeletField(attr *hcl.Attribute, path string, value any) {
	kind, known := kubeletKinds[path]
	if !known {
		above := path[:strings.LastIndex(path, ".")+1]
		l.report(attr.Expr.Range().Ptr(), "Unknown setting", "A KubeletConfiguration has no %q%s", path, suggestion(path, fieldsBelow(above)))
		return
	}
	inner, isMap := value.(map[string]any)
	kind, element, _ := strings.Cut(kind, " ")
	switch {
	case (kind == "map" || kind == "object") != isMap || !isMap && kindOfJSON(value) != kind:
		l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s must be %s.", path, map[string]string{
			"bool": "true or false", "number": "a number", "string": "a string such as \"10Mi\" or \"30s\"", "list": "a list", "map": "a map", "object": "a map"}[kind])
	case kind == "object":
		for _, name := range slices.Sorted(maps.Keys(inner)) {
			l.kubeletField(attr, path+"."+name, inner[name])
		}
	case kind == "map":
		for _, name := range slices.Sorted(maps.Keys(inner)) {
			if kindOfJSON(inner[name]) != element {
				l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s holds a %s for each name, which %q is not.", path, element, name)
			}
		}
	}
}

// fieldsBelow are the fields of one object, by their whole paths.
func fieldsBelow(above string) []string {
	var names []string
	for name := range kubeletKinds {
		if rest, below := strings.CutPrefix(name, above); below && !strings.Contains(rest, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func kindOfJSON(value any) string {
	switch value.(type) {
	case bool:
		return "bool"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "list"
	}
	return ""
}
