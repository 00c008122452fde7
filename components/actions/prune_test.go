package actions

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"provision/components"
)

// TestOnlyWhatNothingNeedsIsRemoved runs the script: what a unit, a process or a pod's
// folder names stays, and so do the agents of what stays.
func TestOnlyWhatNothingNeedsIsRemoved(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	opt, units, state := filepath.Join(root, "opt"), filepath.Join(root, "units"), filepath.Join(root, "state")
	agent := func(text string) string { return "opt/agent-" + components.Sum([]byte(text))[:12] }
	var ids []string
	for _, name := range []string{"unit", "process", "shim", "runc", "runtime", "gone", "other"} {
		id := "1.30.0-" + components.Sum([]byte(name))[:12]
		if name != "other" { // which nobody names
			ids = append(ids, id)
		}
		write("opt/"+id+"/manifest.json", "{}")
		write("opt/"+id+"/bin/agent", "agent of "+name)
		write(agent("agent of "+name)+"/agent", "agent of "+name)
	}
	write(agent("of no bundle")+"/agent", "of no bundle")
	write(agent("of a unit")+"/agent", "of a unit")
	write("opt/.removing-1.20.0-0123456789ab/manifest.json", "{}")
	write("units/provision-etcd.service", "[Service]\nExecStart="+opt+"/"+ids[0]+"/bin/node etcd\n")
	write("units/provision-overlay.service", "ExecStart="+filepath.Join(root, agent("of a unit"))+"/agent overlay\n")
	write("state/io.containerd.runtime.v2.task/k8s.io/a/shim-binary-path", opt+"/"+ids[2]+"/bin/containerd-shim-runc-v2")
	write("state/io.containerd.runtime.v2.task/k8s.io/b/options.json", `{"binary_name":"`+opt+"/"+ids[3]+`/bin/runc","systemd_cgroup":true}`)
	write("state/io.containerd.runtime.v2.task/k8s.io/b/runtime", opt+"/"+ids[4]+"/bin/runc")

	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(write("opt/"+ids[1]+"/bin/sleep", string(program)), "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = process.Process.Kill(); _ = process.Wait() }()

	for range 2 { // again is no harm
		if out, err := exec.Command("sh", append([]string{"-c", prune, "sh", opt, units, state}, ids...)...).CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%s: %v", out, err)
		}
		gone := []string{ids[5], strings.TrimPrefix(agent("agent of gone"), "opt/"), strings.TrimPrefix(agent("of no bundle"), "opt/"), ".removing-1.20.0-0123456789ab"}
		for _, name := range gone {
			if _, err := os.Lstat(filepath.Join(opt, name)); err == nil {
				t.Errorf("%s is still there", name)
			}
		}
		left, err := os.ReadDir(opt)
		if err != nil || len(left) != 13 {
			t.Errorf("left are %d: %v", len(left), left)
		}
	}
}

func TestNothingElseIsPruned(t *testing.T) {
	for _, id := range []string{"", "..", "agent-0123456789ab", "1.36.3-0123456789ab/..", "*", "1.36.3"} {
		if err := (Prune{IDs: []string{id}}).Apply(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), "no bundle's id") {
			t.Errorf("%q: %v", id, err)
		}
	}
}
