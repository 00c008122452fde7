// Package images makes the images of a bundle without a container engine: one
// static program in one layer, as an OCI archive that containerd imports.
//
// The same input always gives the same bytes. Which programs there are and how
// they are compiled is the affair of mkbundle; their sources are the folders
// below this one.
package images

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Repository is where the references of our images begin. No registry answers
// there: the images are imported, never pulled.
const Repository = "provision.internal/"

// Image is one image: a program and how it is started. Its tag is the first 12
// hex digits of the layer's sum, so that another program is another reference
// and a machine never runs an old one under the new one's name.
type Image struct {
	Name string // last part of the repository: "pause"
	Arch string // Go's name: "amd64"
	User string // "65532:65532"
	// Files of the layer, by absolute path, all mode 0755 below /bin and 0644
	// elsewhere. The entry point is /bin/<Name>.
	Files map[string][]byte
}

// Build makes the image.
func (i Image) Build() (v1.Image, error) {
	layer, err := layerOf(i.Files)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	image := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: i.Arch,
		OS:           "linux",
		Created:      v1.Time{Time: time.Unix(0, 0).UTC()},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint: []string{"/bin/" + i.Name},
			Env:        []string{"PATH=/bin"},
			User:       i.User,
			WorkingDir: "/",
		},
	})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	// The layer is not compressed: the bundle compresses better, and a machine
	// has nothing to decompress.
	image, err = mutate.Append(image, mutate.Addendum{Layer: static.NewLayer(layer, types.OCIUncompressedLayer)})
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", i.Name, err)
	}
	return image, nil
}

// Archive makes the image and writes it as an OCI archive. It returns the
// image's reference.
func (i Image) Archive(w io.Writer) (string, error) {
	image, err := i.Build()
	if err != nil {
		return "", err
	}
	reference, err := i.reference(image)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", i.Name, err)
	}
	if err := writeArchive(w, image, reference); err != nil {
		return "", fmt.Errorf("image %s: %w", i.Name, err)
	}
	return reference, nil
}

func (i Image) reference(image v1.Image) (string, error) {
	layers, err := image.Layers()
	if err != nil {
		return "", err
	}
	id, err := layers[0].DiffID()
	if err != nil {
		return "", err
	}
	return Repository + i.Name + ":" + id.Hex[:12], nil
}

// layerOf renders a layer with the files and their folders, owned by root.
func layerOf(files map[string][]byte) ([]byte, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	dirs := map[string]bool{"/": true}
	for _, name := range sortedKeys(files) {
		if err := addDir(w, path.Dir(name), dirs); err != nil {
			return nil, err
		}
		mode := int64(0o644)
		if path.Dir(name) == "/bin" {
			mode = 0o755
		}
		if err := addFile(w, name[1:], mode, files[name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return layer.Bytes(), nil
}

func addDir(w *tar.Writer, name string, done map[string]bool) error {
	if done[name] {
		return nil
	}
	if err := addDir(w, path.Dir(name), done); err != nil {
		return err
	}
	done[name] = true
	mode := int64(0o755)
	if name == "/tmp" {
		mode = 0o1777
	}
	return w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name[1:] + "/", Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
}

func addFile(w *tar.Writer, name string, mode int64, content []byte) error {
	err := w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}
