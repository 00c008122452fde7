package unpack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"provision/components/bundle"
)

// containerd's CRI plugin keeps an image from kubelet's collection where it has
// this label, which we set.
const pinned = "io.cri-containerd.pinned=pinned"

// adopted selects the images that are pinned and that CRI has taken in: it sets
// the second label itself when it has seen the image, a moment after the import.
const adopted = `labels."io.cri-containerd.pinned"==pinned,labels."io.cri-containerd.image"==managed`

// Importer imports the images of an unpacked bundle with the bundle's own ctr.
type Importer struct {
	Dir     string   // the bundle
	Address string   // containerd's socket
	Names   []string // of the images; none: all that the bundle has
}

// Import imports what is missing, waits until CRI serves all of it, and returns
// how many images it imported. It waits for containerd for as long as ctx lasts.
func (i Importer) Import(ctx context.Context) (int, error) {
	root, err := os.OpenRoot(i.Dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	manifest, _, err := readManifest(root, ".")
	if err != nil {
		return 0, fmt.Errorf("%s: %w", i.Dir, err)
	}
	images := slices.DeleteFunc(slices.Clone(manifest.Images), func(image bundle.Image) bool {
		return len(i.Names) > 0 && !slices.Contains(i.Names, image.Name)
	})
	missing, err := i.missing(ctx, images)
	if err != nil {
		return 0, fmt.Errorf("containerd at %s: %w", i.Address, err)
	}
	group, importing := errgroup.WithContext(ctx)
	for _, image := range missing {
		group.Go(func() error {
			_, err := i.ctr(importing, "import", "--label", pinned, filepath.Join(i.Dir, filepath.FromSlash(image.File)))
			if err != nil {
				return fmt.Errorf("image %s: %w", image.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return len(missing), i.served(ctx, missing)
}

// missing returns the images that containerd does not have. The first answer
// may take until containerd has started.
func (i Importer) missing(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	for {
		missing, err := i.notAdopted(ctx, images)
		if err == nil {
			return missing, nil
		}
		if waitErr := pause(ctx, 50*time.Millisecond); waitErr != nil {
			return nil, err
		}
	}
}

// served waits until CRI has taken in the images.
func (i Importer) served(ctx context.Context, images []bundle.Image) error {
	for len(images) > 0 {
		var err error
		if images, err = i.notAdopted(ctx, images); err != nil {
			return err
		}
		if len(images) == 0 {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("image %s: containerd has it, its CRI plugin does not serve it: %w", images[0].Name, err)
		}
	}
	return nil
}

func (i Importer) notAdopted(ctx context.Context, images []bundle.Image) ([]bundle.Image, error) {
	out, err := i.ctr(ctx, "list", "--quiet", adopted)
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		there[strings.TrimSpace(line)] = true
	}
	var missing []bundle.Image
	for _, image := range images {
		if !there[image.Name] {
			missing = append(missing, image)
		}
	}
	return missing, nil
}

// ctr runs one "ctr images" command in the namespace that CRI reads.
func (i Importer) ctr(ctx context.Context, args ...string) ([]byte, error) {
	if _, err := os.Stat(i.Address); err != nil {
		return nil, err // quicker than starting a program to find it out
	}
	all := append([]string{"--address", i.Address, "--namespace", "k8s.io", "images"}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(i.Dir, "bin", "ctr"), all...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	said := strings.TrimSpace(stderr.String())
	last := said[strings.LastIndexByte(said, '\n')+1:]
	return nil, fmt.Errorf("ctr images %s: %w: %s", args[0], err, last)
}

// pause waits, or returns why there is no more time.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
