package components

import (
	"encoding/json"
	"testing"
)

func TestDiffers(t *testing.T) {
	manifest := `{"kind":"ClusterRole","metadata":{"name":"a"},"rules":[{"verbs":["get"]}],"empty":[],"none":{},"n":2}`
	for object, want := range map[string]bool{
		manifest: false,
		`{"kind":"ClusterRole","metadata":{"name":"a","uid":"1"},"rules":[{"verbs":["get"],"more":1}],"n":2,"status":{}}`: false,
		`{"kind":"ClusterRole","metadata":{"name":"a"},"rules":[{"verbs":["get"]},{"verbs":["*"]}],"n":2}`:                true,
		`{"kind":"ClusterRole","metadata":{"name":"a"},"rules":[{"verbs":["get","list"]}],"n":2}`:                         true,
		`{"kind":"ClusterRole","metadata":{"name":"a"},"rules":[{"verbs":["get"]}],"n":3}`:                                true,
		`{"kind":"ClusterRole","metadata":{"name":"a"},"n":2}`:                                                            true,
		`{"kind":"ClusterRole","rules":[{"verbs":["get"]}],"n":2}`:                                                        true,
		`{"kind":"ClusterRole","metadata":"a","rules":[{"verbs":["get"]}],"n":2}`:                                         true,
	} {
		var m, o map[string]any
		if json.Unmarshal([]byte(manifest), &m) != nil || json.Unmarshal([]byte(object), &o) != nil {
			t.Fatal(object)
		}
		if got := Differs(m, o); got != want {
			t.Errorf("%s: differs is %v", object, got)
		}
	}
}
