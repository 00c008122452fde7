package bundle

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Pack writes a stream of the manifest, whose bytes are raw, and of those of its
// files, from an unpacked bundle's folder, whose SHA-256 is not in without. It is
// compressed as fast as can be, for a network that is nearer than the operator's,
// and in little memory. The sums are the reader's to check.
func Pack(w io.Writer, manifest Manifest, raw []byte, folder fs.FS, without map[string]bool) error {
	zw, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("zstd: %w", err)
	}
	tw := tar.NewWriter(zw)
	if err := tw.WriteHeader(header(ManifestName, 0o644, int64(len(raw)))); err != nil {
		return fmt.Errorf("%s: %w", ManifestName, err)
	}
	if _, err := tw.Write(raw); err != nil {
		return fmt.Errorf("%s: %w", ManifestName, err)
	}
	for _, file := range manifest.Files {
		if without[file.SHA256] {
			continue
		}
		if err := pack(tw, file, folder); err != nil {
			return fmt.Errorf("%s: %w", file.Name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return err
	}
	return zw.Close()
}

func pack(tw *tar.Writer, file File, folder fs.FS) error {
	content, err := folder.Open(file.Name)
	if err != nil {
		return err
	}
	defer content.Close()
	if err := tw.WriteHeader(header(file.Name, file.Mode, file.Size)); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{tw}, content, make([]byte, 256<<10))
	return err
}

// header is of one entry. Owner, group and time are zero.
func header(name string, mode uint32, size int64) *tar.Header {
	return &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Mode:     int64(mode),
		Size:     size,
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
}
