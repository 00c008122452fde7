package kube

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEdited(t *testing.T) {
	m := newMaster(t, "m1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
		case "/apis/rbac.authorization.k8s.io/v1/clusterroles/kept":
			w.Write([]byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"kept","uid":"1"},"rules":[{"verbs":["get"]}]}`))
		case "/apis/rbac.authorization.k8s.io/v1/clusterroles/changed":
			w.Write([]byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"changed"},"rules":[{"verbs":["*"]}]}`))
		default:
			http.Error(w, `{"kind":"Status","code":404}`, http.StatusNotFound)
		}
	})
	client, err := Connect(t.Context(), []Endpoint{m.endpoint()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	const role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nrules: [{verbs: [get]}]\nmetadata: {name: "
	got, err := client.Edited(t.Context(), []byte(role+"kept}\n---\n"+role+"changed}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: gone, namespace: kube-system}\n"))
	if diff := cmp.Diff([]string{"ClusterRole changed", "ConfigMap kube-system/gone"}, got); err != nil || diff != "" {
		t.Errorf("%v; -want +got:\n%s", err, diff)
	}
}
