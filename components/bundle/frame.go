package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Level names how frames are compressed; it changes when the bytes of a frame
// would, so that caches of frames know.
const Level = "zstd-best-8M"

// window is zstd's window in bytes: decoding on a machine needs about as much
// memory. A larger one makes the bundle 1 % smaller.
const window = 8 << 20

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBestCompression),
		zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(window))
})

// Frame renders one entry of the tar (header, content and padding) as a zstd
// frame. Owner, group and time are zero.
func Frame(name string, mode uint32, content []byte) ([]byte, error) {
	var entry bytes.Buffer
	entry.Grow(len(content) + 1024)
	w := tar.NewWriter(&entry)
	if err := w.WriteHeader(header(name, mode, int64(len(content)))); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// Flush pads the entry; Close would end the archive as well.
	if err := w.Flush(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return compress(entry.Bytes())
}

// EndFrame is the frame that ends the tar, after the last entry's. Whoever sends a
// bundle needs it, and not the hundred megabytes that Frame's encoder takes.
var EndFrame = sync.OnceValues(func() ([]byte, error) {
	zw, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(zstd.MinWindowSize))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zw.EncodeAll(make([]byte, 1024), nil), nil // two empty blocks
})

func compress(data []byte) ([]byte, error) {
	zw, err := encoder()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zw.EncodeAll(data, nil), nil
}

// ReadFrame decodes one frame that Frame made and returns the entry's content,
// which must be the file's: name, size and sum. It reads no more than the
// file's size.
func ReadFrame(r io.Reader, file File) ([]byte, error) {
	content, err := readEntry(r, file.Name, file.Size)
	if err != nil {
		return nil, err
	}
	if int64(len(content)) != file.Size || sum(content) != file.SHA256 {
		return nil, &SumError{Name: file.Name}
	}
	return content, nil
}

// ReadManifest decodes the first frame of a bundle and returns the manifest and
// its bytes.
func ReadManifest(r io.Reader) (Manifest, []byte, error) {
	data, err := readEntry(r, ManifestName, MaxManifest)
	if err != nil {
		return Manifest{}, nil, err
	}
	m, err := ParseManifest(data)
	return m, data, err
}

func readEntry(r io.Reader, name string, most int64) ([]byte, error) {
	zr, err := newDecoder(r)
	if err != nil {
		return nil, err
	}
	defer zr.Close()
	tr := tar.NewReader(zr)
	header, err := tr.Next()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, noEOF(err))
	}
	if header.Name != name || header.Typeflag != tar.TypeReg || header.Size > most {
		return nil, fmt.Errorf("%s: the entry there is not it", name)
	}
	content := make([]byte, header.Size)
	if _, err := io.ReadFull(tr, content); err != nil {
		return nil, fmt.Errorf("%s: %w", name, noEOF(err))
	}
	return content, nil
}

// newDecoder bounds the memory that a hostile frame can ask for.
func newDecoder(r io.Reader) (*zstd.Decoder, error) {
	zr, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(2*window), zstd.WithDecoderMaxMemory(2*maxTotal))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return zr, nil
}

// noEOF makes an end where there should be none an error that says so.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
