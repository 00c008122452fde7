package kube

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
)

func TestKubeconfigIsComplete(t *testing.T) {
	client, m := connectTo(t, http.NotFound)
	text, err := client.Kubeconfig("site", "")
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://10.1.2.3:6443" {
		t.Errorf("server %s", config.Host)
	}
	if string(config.KeyData) != string(m.files["/etc/provision/pki/admin.key"]) ||
		string(config.CertData) != string(m.files["/etc/provision/pki/admin.crt"]) ||
		string(config.CAData) != string(m.files["/etc/provision/pki/cluster-ca-trust.pem"]) {
		t.Error("the identity is not the master's")
	}
}

func TestMergeKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(filepath.Join(dir, "real"), []byte(`
apiVersion: v1
kind: Config
current-context: work
clusters: [{name: work, cluster: {server: "https://work"}}, {name: site, cluster: {server: "https://old"}}]
contexts: [{name: work, context: {cluster: work, user: me, namespace: mine}}]
users: [{name: me, user: {token: t}}]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", file); err != nil {
		t.Fatal(err)
	}
	client, _ := connectTo(t, http.NotFound)
	added, err := client.Kubeconfig("site", "https://new:6443")
	if err != nil {
		t.Fatal(err)
	}
	if err := MergeKubeconfig(t.Context(), file, added); err != nil {
		t.Fatal(err)
	}
	merged, err := clientcmd.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if merged.CurrentContext != "site" || merged.Clusters["site"].Server != "https://new:6443" {
		t.Errorf("ours is not in it: %+v", merged)
	}
	if merged.Contexts["work"].Namespace != "mine" || merged.AuthInfos["me"].Token != "t" || merged.Clusters["work"].Server != "https://work" {
		t.Errorf("theirs is lost: %+v", merged)
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left behind: %v", entries)
	}
}

func TestMergeLeavesABrokenFileAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("clusters: 7"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MergeKubeconfig(t.Context(), file, []byte("apiVersion: v1\nkind: Config\n")); err == nil {
		t.Error("no error")
	}
	if got, _ := os.ReadFile(file); string(got) != "clusters: 7" {
		t.Errorf("now %q", got)
	}
}
