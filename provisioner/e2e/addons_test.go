//go:build lab

package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
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
		out := l.call(time.Minute, "bin/provision", "kubectl", l.file, "--", "get", "-n", "kube-system", object)
		if out.code == 0 || !strings.Contains(out.stderr, "NotFound") {
			t.Errorf("%s: exit status %d: %s", object, out.code, out.all())
		}
	}
	if err := os.WriteFile(l.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	l.provision(0, "up", "--yes")
}
