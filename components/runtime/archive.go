package runtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"

	"provision/components"
)

// Archives give containerd the images of the user's addons, which it does not have.
func Archives(c components.Cluster, _ components.MachineSpec, f components.Facts) []components.Action {
	var list []components.Action
	seen := map[string]bool{}
	for _, addon := range c.Own {
		for _, archive := range addon.Images {
			if _, there := f.Files[archiveStamp(archive)]; !there && !seen[archive.SHA256] {
				list = append(list, ImportArchive{Addon: addon.Name, Archive: archive, Ctr: c.BundleDir() + "/bin/ctr"})
			}
			seen[archive.SHA256] = true
		}
	}
	return list
}

// archiveStamp is the file that says that an archive was imported. It goes with
// containerd's folder.
func archiveStamp(archive components.Archive) string {
	return components.State + "/containerd/provision-archive-" + archive.SHA256[:min(12, len(archive.SHA256))]
}

// ImportArchive sends an image archive and has containerd import and pin what it holds.
type ImportArchive struct {
	Addon   string
	Archive components.Archive
	Ctr     string // path of the bundle's ctr
}

// Component is "containerd".
func (ImportArchive) Component() string { return "containerd" }

func (a ImportArchive) String() string {
	return fmt.Sprintf("send and import the images of %s (addon %s, %.1f MB)", path.Base(a.Archive.Path), a.Addon, float64(a.Archive.Size)/1e6)
}

// Touches is empty: containerd's folders are ours.
func (ImportArchive) Touches() []components.Touch { return nil }

// Interruptible says that what arrived in part is sent again.
func (ImportArchive) Interruptible() bool { return true }

// Apply streams the archive into ctr. A file that is not the one that was planned
// is torn before its end, and nothing of it is imported.
func (a ImportArchive) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	file, err := site.Open(a.Archive.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	argv := []string{a.Ctr, "--address", Socket, "--namespace", "k8s.io", "images", "import", "--label", pinned, "-"}
	if _, err := on.Run(ctx, argv, &checked{from: file, archive: a.Archive}); err != nil {
		return err
	}
	return on.WriteFile(ctx, archiveStamp(a.Archive), 0o644, []byte(a.Archive.SHA256+"\n"))
}

// pinned keeps kubelet from collecting an image.
const pinned = "io.cri-containerd.pinned=pinned"

var errChanged = errors.New("the file changed while it was sent: run it again")

// checked reads an archive, and lets its last bytes go only when all of them have
// the sum that was planned.
type checked struct {
	from    io.Reader
	archive components.Archive
	hash    hash.Hash
	held    bytes.Buffer
	end     bool
}

func (c *checked) Read(p []byte) (int, error) {
	const hold = 1024 // a tar's end
	if c.hash == nil {
		c.hash = sha256.New()
	}
	for !c.end && c.held.Len() <= hold {
		chunk := make([]byte, 64<<10)
		n, err := c.from.Read(chunk)
		c.hash.Write(chunk[:n])
		c.held.Write(chunk[:n])
		if err == io.EOF {
			c.end = true
			if hex.EncodeToString(c.hash.Sum(nil)) != c.archive.SHA256 {
				return 0, errChanged
			}
		} else if err != nil {
			return 0, err
		}
	}
	if c.end {
		return c.held.Read(p)
	}
	return c.held.Read(p[:min(len(p), c.held.Len()-hold)])
}
