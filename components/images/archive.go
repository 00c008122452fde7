package images

import (
	"archive/tar"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArchive writes the OCI image layout as a tar with sorted names. The
// reference stands in the index as containerd and others read it.
func writeArchive(w io.Writer, image v1.Image, reference string) error {
	files, err := layoutFiles(image, reference)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := tw.WriteHeader(header); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(files) {
		if err := addFile(tw, name, 0o644, files[name]); err != nil {
			return err
		}
	}
	return tw.Close()
}

// layoutFiles returns the files of the OCI image layout by name.
func layoutFiles(image v1.Image, reference string) (map[string][]byte, error) {
	config, err := image.RawConfigFile()
	if err != nil {
		return nil, err
	}
	configFile, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, err
	}
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2,
		MediaType:     types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIManifestSchema1,
			Size:      int64(len(manifest)),
			Digest:    digest,
			Platform:  &v1.Platform{OS: configFile.OS, Architecture: configFile.Architecture},
			Annotations: map[string]string{
				"io.containerd.image.name":          reference,
				"org.opencontainers.image.ref.name": reference,
			},
		}},
	})
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"oci-layout":                 []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json":                 index,
		"blobs/sha256/" + digest.Hex: manifest,
	}
	configName, err := image.ConfigName()
	if err != nil {
		return nil, err
	}
	files["blobs/sha256/"+configName.Hex] = config
	return files, addLayers(files, image)
}

func addLayers(files map[string][]byte, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		r, err := layer.Uncompressed()
		if err != nil {
			return err
		}
		if files["blobs/sha256/"+digest.Hex], err = io.ReadAll(r); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(files map[string][]byte) []string {
	return slices.Sorted(maps.Keys(files))
}
