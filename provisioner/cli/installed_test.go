package cli

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"strings"
	"testing"

	"provision/components"
	"provision/components/bundle"
	"provision/provisioner/ssh/sshtest"
)

// files is a machine of which only files are read.
type files struct {
	components.Machine
	byName map[string]string
}

func (files) Name() string { return "m1" }

func (f files) ReadFile(_ context.Context, name string) ([]byte, error) {
	if text, is := f.byName[name]; is {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func TestProbeImageIsWhatTheMachineHas(t *testing.T) {
	const (
		unit     = "/etc/systemd/system/provision-kubelet.service"
		runs     = "[Service]\nType=notify\nExecStart=/opt/provision/1.36.3-0123456789ab/bin/node kubelet \\\n  --v=1\n"
		manifest = "/opt/provision/1.36.3-0123456789ab/manifest.json"
	)
	sum := strings.Repeat("0", 64)
	sound := bundle.Manifest{
		Format: 1, Kubernetes: "1.36.3", OS: "linux", Arch: "amd64",
		Files:  []bundle.File{{Name: "images/probe.tar", Size: 1, SHA256: sum, Mode: 0o644}},
		Images: []bundle.Image{{Name: "provision.internal/probe:0123", File: "images/probe.tar"}},
	}
	text, err := sound.Encode()
	if err != nil {
		t.Fatal(err)
	}
	sound.Files[0].Name, sound.Images = "images/pause.tar", nil
	without, err := sound.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files       map[string]string
		want, wrong string
	}{
		"there":           {files: map[string]string{unit: runs, manifest: string(text)}, want: "provision.internal/probe:0123"},
		"nothing there":   {wrong: "m1: no kubelet of provision's is installed"},
		"somebody's unit": {files: map[string]string{unit: "[Service]\nExecStart=/opt/provision/../../tmp/x/bin/node kubelet\n"}, wrong: "does not say from which bundle it runs"},
		"bundle gone":     {files: map[string]string{unit: runs}, wrong: "m1: which image the probe has: open " + manifest},
		"torn manifest":   {files: map[string]string{unit: runs, manifest: `{"format":1,`}, wrong: "m1: " + manifest + ": manifest: "},
		"older bundle":    {files: map[string]string{unit: runs, manifest: string(without)}, wrong: "has no image of the probe"},
	} {
		got, err := probeImage(t.Context(), files{byName: test.files})
		if got != test.want || (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestWhatSendsNothingNeedsNoBundle: such commands come as far as the machines,
// which have no cluster here.
func TestWhatSendsNothingNeedsNoBundle(t *testing.T) {
	path := file(t, map[string]*sshtest.Server{"m1": machine(t), "w1": machine(t)})
	for _, args := range [][]string{{"status", path}, {"verify", path}, {"kubeconfig", path}, {"kubectl", path, "--", "get", "nodes"}} {
		var stderr bytes.Buffer
		code := Main(soon(t), append([]string{"--bundles", t.TempDir()}, args...), strings.NewReader(""), io.Discard, &stderr)
		if code != exitFailed || strings.Contains(stderr.String(), "bundle") || !strings.Contains(stderr.String(), "no API server answers: m1: ") {
			t.Errorf("%s: exit status %d: %s", args[0], code, &stderr)
		}
	}
	var stderr bytes.Buffer
	if code := Main(soon(t), []string{"plan", path, "--bundles", t.TempDir()}, strings.NewReader(""), io.Discard, &stderr); code != exitFailed || !strings.Contains(stderr.String(), "no bundle in ") {
		t.Errorf("plan: exit status %d: %s", code, &stderr)
	}
}
