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
	id, err := runningBundle(ctx, on)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("%w, so the image of the probe is not there either; `provision up` brings both", err)
	}
	if err != nil {
		return "", err
	}
	name := path.Join(components.Root, id, bundle.ManifestName)
	text, err := on.ReadFile(ctx, name)
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
	return "", fmt.Errorf("%s: the bundle %s has no image of the probe", on.Name(), id)
}

// runningBundle is the id of the bundle that a machine runs, by its kubelet's unit;
// fs.ErrNotExist where it has none.
func runningBundle(ctx context.Context, on components.Machine) (string, error) {
	unit := path.Join(components.Units, actions.Service("kubelet"))
	text, err := on.ReadFile(ctx, unit)
	if errors.Is(err, fs.ErrNotExist) {
		return "", missing{fmt.Sprintf("%s: no kubelet of provision's is installed (there is no %s)", on.Name(), unit)}
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", on.Name(), err)
	}
	match := runsFrom.FindSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("%s: %s does not say from which bundle it runs; `provision up` repairs it", on.Name(), unit)
	}
	return string(match[1]), nil
}

// missing is an fs.ErrNotExist in words for people.
type missing struct{ text string }

func (m missing) Error() string        { return m.text }
func (m missing) Is(target error) bool { return target == fs.ErrNotExist }
