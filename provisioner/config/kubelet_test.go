package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kubelet "k8s.io/kubelet/config/v1beta1"
)

// kubelet.txt is what upstream's type says: go test -update writes it anew.
func TestKubeletFieldsAreUpstreams(t *testing.T) {
	var text strings.Builder
	describe(&text, "", reflect.TypeOf(kubelet.KubeletConfiguration{}))
	if *update {
		if err := os.WriteFile("kubelet.txt", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(text.String(), kubeletFields); diff != "" {
		t.Errorf("-upstream's +ours:\n%s", diff)
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
