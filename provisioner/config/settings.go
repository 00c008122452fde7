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

// kubeletFields and proxyFields are what a component's configuration may hold: a line
// for each field, with its path and the kind of its value. A test writes them from
// upstream's types, which themselves would bring much with them that a computer at a
// desk does not need.
var (
	//go:embed kubelet.txt
	kubeletFields string
	//go:embed proxy.txt
	proxyFields string
)

// document is the configuration of a component.
type document struct {
	name  string
	kinds map[string]string // of its fields, by their paths
	owned map[string]string // fields that follow from something else, by what that is
}

func newDocument(name, fields string, owned map[string]string) document {
	d := document{name, map[string]string{}, owned}
	for line := range strings.Lines(fields) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		d.kinds[name] = kind
	}
	return d
}

var proxyDocument = newDocument("KubeProxyConfiguration", proxyFields, map[string]string{
	"apiVersion": "it is kube-proxy's own", "kind": "it is kube-proxy's own", "clientConnection": "it is the machine's identity",
	"mode": "the pods' network is made for nftables", "hostnameOverride": "it is the machine's name", "bindAddress": "it is the machine's address",
	"clusterCIDR": "it is network.pods", "detectLocalMode": "it follows from network.pods",
	"metricsBindAddress": "checks look for it", "healthzBindAddress": "checks look for it",
})

var kubeletDocument = newDocument("KubeletConfiguration", kubeletFields, map[string]string{
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
})

// kubelet lays a kubelet block over what it inherits. The result is what JSON
// makes of it: maps, lists, strings, booleans and json.Number.
func (l *loader) kubelet(block *kubeletSchema, from map[string]any) map[string]any {
	if block == nil {
		return from
	}
	said := l.settings(block.Settings, kubeletDocument)
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

// proxy lays a proxy block over what it inherits.
func (l *loader) proxy(block *proxySchema, from map[string]any) map[string]any {
	if block == nil {
		return from
	}
	return layOver(l.settings(block.Settings, proxyDocument), from)
}

// settings reads what is to be laid over a component's configuration.
func (l *loader) settings(attr *hcl.Attribute, of document) map[string]any {
	said := l.anything(attr)
	for _, name := range slices.Sorted(maps.Keys(said)) {
		if why, owned := of.owned[name]; owned {
			l.report(attr.Expr.Range().Ptr(), "Reserved setting", "%s is set by the cluster itself: %s.", name, why)
			delete(said, name)
			continue
		}
		l.field(attr, of, name, said[name])
	}
	if said == nil {
		return map[string]any{}
	}
	return said
}

// anything reads a map of anything; what is null in it counts as left out.
func (l *loader) anything(attr *hcl.Attribute) map[string]any {
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

// field checks one setting against upstream's type: components themselves pass over
// a name that they do not know, and do not start with a value of another kind.
func (l *loader) field(attr *hcl.Attribute, of document, path string, value any) {
	kind, known := of.kinds[path]
	if !known {
		above := path[:strings.LastIndex(path, ".")+1]
		l.report(attr.Expr.Range().Ptr(), "Unknown setting", "A %s has no %q%s", of.name, path, suggestion(path, of.below(above)))
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
			l.field(attr, of, path+"."+name, inner[name])
		}
	case kind == "map":
		for _, name := range slices.Sorted(maps.Keys(inner)) {
			if kindOfJSON(inner[name]) != element {
				l.report(attr.Expr.Range().Ptr(), "Wrong value type", "%s holds a %s for each name, which %q is not.", path, element, name)
			}
		}
	}
}

// below are the fields of one object, by their whole paths.
func (d document) below(above string) []string {
	var names []string
	for name := range d.kinds {
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
