package bundle

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/zstd"
)

// SumError is a file whose content is not what the manifest says.
type SumError struct {
	Name string
}

func (e *SumError) Error() string {
	return e.Name + ": the content is not what the manifest says (another size or SHA-256)"
}

// Stream reads a bundle, or a bundle of which files were left out, from front
// to back. It is not safe for concurrent use.
type Stream struct {
	zr       *zstd.Decoder
	end      *endSeer
	tr       *tar.Reader
	manifest Manifest
	raw      []byte
	left     map[string]File // not yet seen
}

// NewStream reads the manifest and returns a Stream that stands before the
// first file. The caller must Close it.
func NewStream(r io.Reader) (*Stream, error) {
	zr, err := newDecoder(r)
	if err != nil {
		return nil, err
	}
	end := &endSeer{r: zr}
	s := &Stream{zr: zr, end: end, tr: tar.NewReader(end)}
	if err := s.readManifest(); err != nil {
		zr.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stream) readManifest() error {
	header, err := s.tr.Next()
	if err != nil {
		return fmt.Errorf("bundle stream: %w", noEOF(err))
	}
	if header.Name != ManifestName || header.Size > MaxManifest {
		return fmt.Errorf("bundle stream: it begins with %.50q and not with the manifest", header.Name)
	}
	if s.raw, err = io.ReadAll(s.tr); err != nil {
		return fmt.Errorf("bundle stream: manifest: %w", noEOF(err))
	}
	if s.manifest, err = ParseManifest(s.raw); err != nil {
		return fmt.Errorf("bundle stream: %w", err)
	}
	s.left = make(map[string]File, len(s.manifest.Files))
	for _, file := range s.manifest.Files {
		s.left[file.Name] = file
	}
	return nil
}

// Manifest returns the manifest and the bytes that the bundle's id is made of.
func (s *Stream) Manifest() (Manifest, []byte) { return s.manifest, s.raw }

// Next returns the next file and its content, which ends with a *SumError
// instead of io.EOF where it is not what the manifest says. Content that is not
// read to its end has not been checked. After the last file the error is
// io.EOF; a stream that is torn, between two files as well, ends with
// io.ErrUnexpectedEOF.
func (s *Stream) Next() (File, io.Reader, error) {
	header, err := s.tr.Next()
	if errors.Is(err, io.EOF) && !s.end.seen {
		return File{}, nil, io.EOF
	}
	if err != nil {
		return File{}, nil, fmt.Errorf("bundle stream: %w", noEOF(err))
	}
	file, ok := s.left[header.Name]
	if !ok {
		return File{}, nil, fmt.Errorf("bundle stream: %.50q is not in the manifest, or is there twice", header.Name)
	}
	if header.Typeflag != tar.TypeReg || header.Size != file.Size {
		return File{}, nil, &SumError{Name: file.Name}
	}
	delete(s.left, file.Name)
	return file, &checked{r: s.tr, file: file, hash: sha256.New()}, nil
}

// Missing returns the files that the stream has not held so far.
func (s *Stream) Missing() []File {
	var missing []File
	for _, file := range s.manifest.Files {
		if _, ok := s.left[file.Name]; ok {
			missing = append(missing, file)
		}
	}
	return missing
}

// Close frees what the decoder holds.
func (s *Stream) Close() { s.zr.Close() }

// endSeer notices that its reader is at its end. The tar's own end comes before
// that: whoever finds the reader's has a stream that was torn, and a tar.Reader
// does not tell the two apart where an entry has just ended.
type endSeer struct {
	r    io.Reader
	seen bool
}

func (e *endSeer) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if n == 0 && err == io.EOF {
		e.seen = true
	}
	return n, err
}

// checked compares the sum when the content ends.
type checked struct {
	r    io.Reader
	file File
	hash hash.Hash
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	if err == io.EOF && hex.EncodeToString(c.hash.Sum(nil)) != c.file.SHA256 {
		return n, &SumError{Name: c.file.Name}
	}
	return n, err
}

func sum(content []byte) string {
	s := sha256.Sum256(content)
	return hex.EncodeToString(s[:])
}
