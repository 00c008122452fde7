package images

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"provision/components"
)

func probe(content string) Image {
	return Image{
		Name: "probe", Arch: "arm64", User: "65532:65532",
		Files: map[string][]byte{"/bin/probe": []byte(content), "/etc/passwd": []byte("nobody"), "/tmp/keep": nil},
	}
}

// An independent reader must find the image, its platform and its files.
func TestArchiveIsAnOCILayout(t *testing.T) {
	archive, reference := archived(t, probe("program"))
	dir := t.TempDir()
	untar(t, archive, dir)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	for _, blob := range blobs {
		content, _ := os.ReadFile(blob)
		if components.Sum(content) != filepath.Base(blob) {
			t.Errorf("%s does not have that sum", blob)
		}
	}
	if len(blobs) != 3 {
		t.Errorf("there are %d blobs, not a manifest, a config and a layer", len(blobs))
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	entry := manifest.Manifests[0]
	if got := entry.Platform.String(); got != "linux/arm64" {
		t.Errorf("the platform is %s", got)
	}
	if got := entry.Annotations["io.containerd.image.name"]; got != reference {
		t.Errorf("the name is %q and not %q", got, reference)
	}
	image, err := index.Image(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := v1.Config{Entrypoint: []string{"/bin/probe"}, Env: []string{"PATH=/bin"}, User: "65532:65532", WorkingDir: "/"}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("bin/ 755 |bin/probe 755 program|etc/ 755 |etc/passwd 644 nobody|tmp/ 1777 |tmp/keep 644 |", listing(t, image)); diff != "" {
		t.Error(diff)
	}
}

func TestEqualProgramsGiveEqualArchives(t *testing.T) {
	one, reference := archived(t, probe("program"))
	two, again := archived(t, probe("program"))
	if !bytes.Equal(one, two) || reference != again {
		t.Errorf("the archives or references differ: %s, %s", reference, again)
	}
}

// A machine that has an image must not keep it when there is a newer one.
func TestAnotherProgramIsAnotherReference(t *testing.T) {
	_, one := archived(t, probe("program"))
	_, two := archived(t, probe("programme"))
	if one == two || !strings.HasPrefix(one, "provision.internal/probe:") {
		t.Errorf("%s, %s", one, two)
	}
}

func archived(t *testing.T, image Image) ([]byte, string) {
	t.Helper()
	var out bytes.Buffer
	reference, err := image.Archive(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), reference
}

func untar(t *testing.T, archive []byte, dir string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else {
			content, _ := io.ReadAll(r)
			err = os.WriteFile(name, content, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func listing(t *testing.T, image v1.Image) string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var out strings.Builder
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if err == io.EOF {
			return out.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		mode := header.FileInfo().Mode()
		sticky := ""
		if mode&os.ModeSticky != 0 {
			sticky = "1"
		}
		out.WriteString(header.Name + " " + sticky + strings.TrimLeft(octal(mode), "0") + " " + string(text) + "|")
	}
}

func octal(mode os.FileMode) string {
	const digits = "01234567"
	p := mode.Perm()
	return string([]byte{digits[p>>6], digits[p>>3&7], digits[p&7]})
}
