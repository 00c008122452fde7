package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"

	"provision/components"
	"provision/components/actions"
	"provision/components/bundle"
)

// runsFrom finds in the kubelet's unit the folder of the bundle that a machine runs.
var runsFrom = regexp.MustCompile(`(?m)^ExecStart=` + regexp.QuoteMeta(components.Root) + `/([0-9A-Za-z][0-9A-Za-z.+-]*)/bin/node `)

// probeImage is the reference of the probe's image on a machine, by the manifest
// of the bundle that it runs: it may be another than any bundle here.
func probeImage(ctx context.Context, on components.Machine) (string, error) {
	unit := path.Join(components.Units, actions.Service("kubelet"))
	text, err := on.ReadFile(ctx, unit)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%s: no kubelet of provision's is installed (there is no %s), so the image of the probe is not there either; `provision up` brings both", on.Name(), unit)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", on.Name(), err)
	}
	match := runsFrom.FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s: %s does not say from which bundle it runs; `provision up` repairs it", on.Name(), unit)
	}
	name := path.Join(components.Root, string(match[1]), bundle.ManifestName)
	text, err = on.ReadFile(ctx, name)
	if err != nil {
		return "", fmt.Errorf("%s: which image the probe has: %w", on.Name(), err)
	}
	manifest, err := bundle.ParseManifest(text)
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", on.Name(), name, err)
	}
	for _, image := range manifest.Images {
		if image.File == "images/probe.tar" {
			return image.Name, nil
		}
	}
	return "", fmt.Errorf("%s: the bundle %s has no image of the probe", on.Name(), match[1])
}
