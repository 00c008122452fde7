package bundle

import (
	"fmt"

	format "provision/components/bundle"
)

// Placed is a bundle that is on machines and not here: its manifest, as a machine has
// it, says all that a plan needs to know. Nothing of it can be sent.
func Placed(manifest []byte) (*Bundle, error) {
	parsed, err := format.ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	b := &Bundle{manifest: parsed, raw: manifest, files: map[string]format.File{}}
	for _, file := range parsed.Files {
		b.files[file.Name] = file
	}
	b.once.Do(func() {
		b.damage = fmt.Errorf("bundle %s is on machines, and not on this computer, which would have to send it: name its folder with --bundles or PROVISION_BUNDLES", b.ID())
	})
	return b, nil
}
