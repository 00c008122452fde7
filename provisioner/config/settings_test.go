package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxy "k8s.io/kube-proxy/config/v1alpha1"
	kubelet "k8s.io/kubelet/config/v1beta1"
)

// The lists of fields are what upstream's types say: go test -update writes them anew.
func TestFieldsAreUpstreams(t *testing.T) {
	for name, of := range map[string]struct {
		upstream any
		ours     string
	}{
		"kubelet.txt": {kubelet.KubeletConfiguration{}, kubeletFields},
		"proxy.txt":   {proxy.KubeProxyConfiguration{}, proxyFields},
	} {
		var text strings.Builder
		describe(&text, "", reflect.TypeOf(of.upstream))
		if *update {
			if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(text.String(), of.ours); diff != "" {
			t.Errorf("%s: -upstream's +ours:\n%s", name, diff)
		}
	}
}

// describe writes a line for each field: its path and what kind of value it takes.
func describe(text *strings.Builder, above string, of reflect.Type) {
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" && field.Anonymous { // kind and apiVersion
			describe(text, above, field.Type)
			continue
		}
		kind := field.Type
		for kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		word := map[reflect.Kind]string{reflect.Bool: "bool", reflect.Slice: "list", reflect.Map: "map", reflect.Struct: "object", reflect.String: "string"}[kind.Kind()]
		switch {
		case kind.Name() == "Duration", kind.Name() == "TimeOrMetaDuration", kind.Name() == "QuantityValue":
			word = "string"
		case word == "map":
			word += " " + map[reflect.Kind]string{reflect.Bool: "bool", reflect.String: "string", reflect.Slice: "list"}[kind.Elem().Kind()]
		case word == "":
			word = "number"
		}
		fmt.Fprintf(text, "%s%s %s\n", above, name, word)
		if word == "object" {
			describe(text, above+name+".", kind)
		}
	}
}
