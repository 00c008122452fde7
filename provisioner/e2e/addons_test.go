//go:build lab

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"provision/components/images"
)

// builtin wants figures from metrics-server and a volume that outlives its pod; and
// both addons gone when the file switches them off.
func builtin(t *testing.T, l *lab) {
	eventually(t, "kubectl top has every machine", func() (bool, string) {
		out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "top", "nodes", "--no-headers")
		return len(regexp.MustCompile(`(?m)^\w+ +\d+m +\d+% +\d+Mi +\d+% *$`).FindAllString(out.stdout, -1)) == 3, out.all()
	})
	manifest, err := os.ReadFile("testdata/volume.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keeper := strings.ReplaceAll(string(manifest), "IMAGE", image(t, "probe"))
	l.apply(keeper)
	l.kubectl("wait", "--for=condition=Ready", "pod/keeper", "--timeout=60s")
	l.kubectl("exec", "keeper", "--", "probe", "write", "/kept/word", "remembered")
	l.kubectl("delete", "pod/keeper")
	l.apply(keeper)
	l.kubectl("wait", "--for=condition=Ready", "pod/keeper", "--timeout=60s")
	if word := l.kubectl("exec", "keeper", "--", "probe", "cat", "/kept/word"); word != "remembered\n" {
		t.Errorf("the volume holds %q", word)
	}
	node := l.kubectl("get", "pod", "keeper", "-o", "jsonpath={.spec.nodeName}")
	if mode := l.on(node, "sh", "-c", "cd /var/lib/provision/volumes; stat -c %a . *"); mode != "700\n777\n" {
		t.Errorf("the folders' modes are %q", mode)
	}
	l.kubectl("delete", "pod/keeper", "pvc/kept")
	eventually(t, "the volume's folder is gone", func() (bool, string) {
		left := l.on(node, "ls", "/var/lib/provision/volumes")
		return left == "", left
	})

	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	l.insert("  addons {\n    metrics = false\n    storage = false\n  }\n")
	l.provision(0, "up", "--yes")
	l.provision(0, "plan")
	for _, object := range []string{"deployment/metrics-server", "apiservice/v1beta1.metrics.k8s.io", "namespace/local-path-storage", "storageclass/local-path"} {
		l.wantNone(object, "-n", "kube-system")
	}
	if err := os.WriteFile(l.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l.provision(0, "up", "--yes")
}

// own applies an addon of the user's with an image that only its archive brings, and
// wants what leaves the file to leave the cluster.
func own(t *testing.T, l *lab) {
	folder := filepath.Join(l.dir, "shop")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	reference, err := images.Image{Name: "shop", Arch: runtime.GOARCH, User: "65532:65532", Files: map[string][]byte{"/bin/shop": pause(t)}}.Archive(&archive)
	if err != nil {
		t.Fatal(err)
	}
	write("images.tar", archive.String())
	write("settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n")
	text, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write("web.yaml", strings.ReplaceAll(string(text), "IMAGE", reference))
	file, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	tell := func(block string) string {
		t.Helper()
		if err := os.WriteFile(l.file, append(bytes.Clone(file), block...), 0o600); err != nil {
			t.Fatal(err)
		}
		said := l.provision(0, "up", "--yes").all()
		l.provision(0, "plan")
		return said
	}
	block := fmt.Sprintf(`
addon "shop" {
  manifests = ["shop/*.yaml"]
  namespace = "shop"
  images    = "shop/images.tar"
}

addon "greeting" {
  chart     = %q
  namespace = "shop"
  values    = { greeting = "hello", replicas = 3 }
}
`, filepath.Join(root, "examples/addons/site"))
	if said := tell(block); !strings.Contains(said, "apply addon shop (3 objects)") || !strings.Contains(said, "images of images.tar") {
		t.Errorf("up said %s", said)
	}
	if ready := l.kubectl("get", "deployment/web", "-n", "shop", "-o", "jsonpath={.status.availableReplicas}"); ready != "2" {
		t.Errorf("%s of 2 replicas are available", ready)
	}
	l.kubectl("get", "configmap/settings", "-n", "shop")
	if greeting := l.kubectl("get", "configmap/greeting", "-n", "shop", "-o", "jsonpath={.data}"); greeting != `{"greeting":"hello","replicas":"3"}` {
		t.Errorf("the chart's object holds %s", greeting)
	}

	if err := os.Remove(filepath.Join(folder, "settings.yaml")); err != nil {
		t.Fatal(err)
	}
	if said := tell(block); !strings.Contains(said, "delete ConfigMap shop/settings") {
		t.Errorf("up said %s", said)
	}
	l.wantNone("configmap/settings", "-n", "shop")
	l.kubectl("get", "deployment/web", "-n", "shop")

	// What the API refuses, or never gets ready, is said, and tried again.
	write("bad.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\ndata: {a: [b]}\n")
	if out := l.provision(1, "up", "--yes"); !strings.Contains(out.stderr, "apply ConfigMap shop/bad: ") {
		t.Errorf("up said %s", out.all())
	}
	if out := l.provision(2, "plan"); !strings.Contains(out.stdout, "apply addon shop (3 objects)") {
		t.Errorf("plan said %s", out.all())
	}
	if err := os.Remove(filepath.Join(folder, "bad.yaml")); err != nil {
		t.Fatal(err)
	}
	tell(block)

	if said := tell(""); !strings.Contains(said, "take away addon shop") {
		t.Errorf("up said %s", said)
	}
	l.wantNone("namespace/shop")
}

// wantNone wants the API to have no such object.
func (l *lab) wantNone(args ...string) {
	l.t.Helper()
	out := l.call(time.Minute, append([]string{"bin/provision", "kubectl", l.file, "--", "get"}, args...)...)
	if out.code == 0 || !strings.Contains(out.stderr, "NotFound") {
		l.t.Errorf("%s: exit status %d: %s", strings.Join(args, " "), out.code, out.all())
	}
}

// pause is a program that waits.
func pause(t *testing.T) []byte {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pause")
	build := exec.Command("go", "build", "-o", name, "./components/images/pause")
	build.Dir = root
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return program
}
