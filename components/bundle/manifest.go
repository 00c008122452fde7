package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// ManifestName is the name of a bundle's first entry.
const ManifestName = "manifest.json"

// MaxManifest is how many bytes a manifest may have.
const MaxManifest = 4 << 20

// Bounds of what a manifest may say. They are far above what a bundle holds
// and far below what would hurt a machine.
const (
	maxFiles    = 10000
	maxFileSize = 1 << 30 // bytes
	maxTotal    = 4 << 30 // bytes
	maxName     = 200     // bytes
)

// Manifest is the table of contents of a bundle.
type Manifest struct {
	Format     int     `json:"format"`     // 1
	Kubernetes string  `json:"kubernetes"` // "1.36.3"
	OS         string  `json:"os"`
	Arch       string  `json:"arch"`
	Files      []File  `json:"files"` // sorted by name
	Images     []Image `json:"images"`
}

// File is one file of a bundle.
type File struct {
	Name   string `json:"name"` // slash separated, relative
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
	Mode   uint32 `json:"mode"`   // 0644 or 0755
}

// Image is one image archive of a bundle.
type Image struct {
	Name string `json:"name"` // reference: "provision.internal/pause:3.10"
	File string `json:"file"` // name of one of Files: "images/pause.tar"
}

// ParseManifest decodes and checks a manifest.
func ParseManifest(data []byte) (Manifest, error) {
	if len(data) > MaxManifest {
		return Manifest{}, fmt.Errorf("manifest: %d bytes are more than a manifest may have", len(data))
	}
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// Encode checks the manifest and returns its bytes, which are always the same
// for the same content.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(data, '\n'), nil
}

// ID names a bundle by its Kubernetes version and its manifest's sum. It is
// the name of the folder that the bundle is unpacked to.
func ID(kubernetes string, manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return kubernetes + "-" + hex.EncodeToString(sum[:6])
}

var (
	versionForm = regexp.MustCompile(`^[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(-[0-9a-z.]{1,20})?$`)
	archForm    = regexp.MustCompile(`^[a-z0-9]{1,16}$`)
	nameForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+@~!-]*(/[A-Za-z0-9][A-Za-z0-9._+@~!-]*)*$`)
	sumForm     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	imageForm   = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

func (m Manifest) check() error {
	switch {
	case m.Format != 1:
		return fmt.Errorf("format %d is not known to this version of provision", m.Format)
	case !versionForm.MatchString(m.Kubernetes):
		return fmt.Errorf("%.50q is no Kubernetes version", m.Kubernetes)
	case m.OS != "linux":
		return fmt.Errorf("%.50q is not an operating system that a bundle can be for", m.OS)
	case !archForm.MatchString(m.Arch):
		return fmt.Errorf("%.50q is no architecture", m.Arch)
	case len(m.Files) > maxFiles || len(m.Images) > maxFiles:
		return errors.New("too many files or images")
	}
	if err := checkFiles(m.Files); err != nil {
		return err
	}
	return checkImages(m.Images, m.Files)
}

func checkFiles(files []File) error {
	var total int64
	for i, file := range files {
		if err := checkFile(file); err != nil {
			return err
		}
		if total += file.Size; total > maxTotal {
			return errors.New("the files are larger than a bundle may be")
		}
		if i == 0 {
			continue
		}
		before := files[i-1].Name
		if before >= file.Name {
			return fmt.Errorf("%s comes after %s: names must be sorted, each once", file.Name, before)
		}
	}
	return checkNesting(files)
}

func checkFile(file File) error {
	switch {
	case len(file.Name) > maxName || !nameForm.MatchString(file.Name) || !fs.ValidPath(file.Name):
		return fmt.Errorf("%.50q is no name for a file of a bundle", file.Name)
	case file.Name == ManifestName:
		return errors.New("the manifest lists itself")
	case file.Size < 0 || file.Size > maxFileSize:
		return fmt.Errorf("%s: %d bytes is no size for a file of a bundle", file.Name, file.Size)
	case !sumForm.MatchString(file.SHA256):
		return fmt.Errorf("%s: %.70q is no SHA-256", file.Name, file.SHA256)
	case file.Mode != 0o644 && file.Mode != 0o755:
		return fmt.Errorf("%s: mode %#o is neither 0644 nor 0755", file.Name, file.Mode)
	}
	return nil
}

// checkNesting refuses a name that is a file and a folder.
func checkNesting(files []File) error {
	names := make(map[string]bool, len(files))
	for _, file := range files {
		names[file.Name] = true
	}
	for _, file := range files {
		for dir := file.Name; ; {
			slash := strings.LastIndexByte(dir, '/')
			if slash < 0 {
				break
			}
			if dir = dir[:slash]; names[dir] || dir == ManifestName {
				return fmt.Errorf("%s is a file and the folder of %s", dir, file.Name)
			}
		}
	}
	return nil
}

func checkImages(images []Image, files []File) error {
	names := make(map[string]bool, len(files))
	for _, file := range files {
		names[file.Name] = true
	}
	seen := make(map[string]bool, len(images))
	for _, image := range images {
		switch {
		case len(image.Name) > maxName || !imageForm.MatchString(image.Name):
			return fmt.Errorf("%.50q is no image reference", image.Name)
		case !names[image.File] || !strings.HasPrefix(image.File, "images/"):
			return fmt.Errorf("image %s: %.50q is not a file below images/", image.Name, image.File)
		case seen[image.Name] || seen[image.File]:
			return fmt.Errorf("image %s is there twice", image.Name)
		}
		seen[image.Name], seen[image.File] = true, true
	}
	return nil
}
