package serve

import (
	"fmt"
	"io"
	"os"
	"path"

	"provision/components/agent/durable"
	"provision/components/bundle"
	"provision/components/handover"
)

// unpacked is a bundle's folder.
type unpacked struct {
	*os.Root
	manifest bundle.Manifest
	raw      []byte
}

// open opens an unpacked bundle, which must be the one of that id.
func open(root, id string) (*unpacked, error) {
	folder, err := os.OpenRoot(path.Join(root, path.Base(id)))
	if err != nil {
		return nil, err
	}
	u := &unpacked{Root: folder}
	file, err := folder.Open(bundle.ManifestName)
	if err == nil {
		defer file.Close()
		u.raw, err = durable.ReadAll(file, bundle.MaxManifest)
	}
	if err == nil {
		u.manifest, err = bundle.ParseManifest(u.raw)
	}
	if err == nil && bundle.ID(u.manifest.Kubernetes, u.raw) != id {
		err = fmt.Errorf("%s holds another bundle", path.Join(root, id))
	}
	if err != nil {
		folder.Close()
		return nil, err
	}
	return u, nil
}

func (u *unpacked) pack(w io.Writer, offer handover.Offer) error {
	without := map[string]bool{}
	for _, sum := range offer.Without {
		without[sum] = true
	}
	return bundle.Pack(w, u.manifest, u.raw, u.FS(), without)
}
