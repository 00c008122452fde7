package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// What stands in the way of a backup, beside an error of reading it.
var (
	ErrForeign   = errors.New("is no backup of provision's")
	ErrKey       = errors.New("opens neither with this passphrase nor with this key")
	ErrTruncated = errors.New("ends before its end: it was not copied whole")
	ErrDamaged   = errors.New("is damaged: its content is not what was written")
)

// FormatError is a backup of another format.
type FormatError int

func (e FormatError) Error() string {
	if e < Format {
		return fmt.Sprintf("is of format %d, and this provision reads format %d: use the provision that wrote it, or a newer backup", int(e), Format)
	}
	return fmt.Sprintf("is of format %d, and this provision reads format %d: use a newer provision", int(e), Format)
}

// Bounds of what is believed of a file.
const (
	maxSmall    = 16 << 20 // bytes of each entry but the snapshot's parts
	maxSnapshot = 16 << 30 // etcd itself stops at 8 GiB
	maxMemory   = 256 << 20
)

// Read reads a backup to its end, checks all of it, and writes its snapshot to
// snapshot as it goes. Only without an error is anything of it to be used.
func Read(from io.Reader, snapshot io.Writer, identities ...age.Identity) (Contents, Parts, error) {
	r := reader{snapshot: snapshot, check: newSnapshotCheck(), sums: map[string]string{}}
	err := r.read(from, identities)
	return r.contents, r.parts, err
}

type reader struct {
	contents Contents
	parts    Parts
	snapshot io.Writer
	check    *snapshotCheck
	written  int64
	pieces   int
	sums     map[string]string
}

func (r *reader) read(from io.Reader, identities []age.Identity) error {
	source := &source{Reader: from}
	plain, err := age.Decrypt(source, identities...)
	var nobody *age.NoIdentityMatchError
	switch {
	case source.err != nil:
		return source.err
	case errors.As(err, &nobody):
		return ErrKey
	case errors.Is(err, io.ErrUnexpectedEOF) || err != nil && source.length == 0:
		return ErrTruncated
	case err != nil:
		return ErrForeign
	}
	err = r.unpack(plain)
	var format FormatError
	switch {
	case err == nil || errors.As(err, &format) || errors.Is(err, ErrForeign):
		return err
	case source.err != nil:
		return source.err
	case errors.Is(err, errWriting):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return ErrTruncated
	}
	return ErrDamaged
}

// source remembers what reading the file itself said.
type source struct {
	io.Reader
	length int64
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.length += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

var errWriting = errors.New("write the snapshot")

func (r *reader) unpack(plain io.Reader) error {
	packed, err := zstd.NewReader(plain, zstd.WithDecoderMaxMemory(maxMemory))
	if err != nil {
		return err
	}
	defer packed.Close()
	archive := tar.NewReader(packed)
	for first := true; ; first = false {
		header, err := archive.Next()
		switch {
		case first && (errors.Is(err, zstd.ErrMagicMismatch) || errors.Is(err, tar.ErrHeader)),
			first && err == nil && header.Name != contentsName:
			return ErrForeign
		case err == io.EOF && r.sums == nil:
			return ends(packed)
		case err != nil:
			return err
		case r.sums == nil:
			return errors.New("something follows the sums")
		}
		if err := r.entry(header, archive); err != nil {
			return err
		}
	}
}

// ends reads what follows the archive, which must be nothing: so the very end of the file
// is authenticated as well.
func ends(packed io.Reader) error {
	n, err := io.Copy(io.Discard, packed)
	if err == nil && n > 0 {
		err = errors.New("something follows the archive")
	}
	return err
}

func (r *reader) entry(header *tar.Header, content io.Reader) error {
	if header.Typeflag != tar.TypeReg || header.Size > maxSmall {
		return fmt.Errorf("%q: not an entry of a backup", header.Name)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	if header.Name == sumsName {
		return r.compare(text)
	}
	if _, twice := r.sums[header.Name]; twice {
		return fmt.Errorf("%q twice", header.Name)
	}
	sum := sha256.Sum256(text)
	r.sums[header.Name] = hex.EncodeToString(sum[:])
	switch name := header.Name; {
	case name == contentsName:
		return r.readContents(text)
	case name == hclName:
		r.parts.HCL = text
	case name == authoritiesName:
		r.parts.Authorities = text
	case name == pskName:
		r.parts.PresharedKey = text
	case strings.HasPrefix(name, snapshotFolder) && name == partName(r.pieces):
		r.pieces++
		if r.written += int64(len(text)); r.written > maxSnapshot {
			return errors.New("the snapshot is larger than any of etcd's")
		}
		r.check.Write(text)
		if _, err := r.snapshot.Write(text); err != nil {
			return fmt.Errorf("%w: %w", errWriting, err)
		}
	default:
		return fmt.Errorf("%q: not an entry of a backup", name)
	}
	return nil
}

func (r *reader) readContents(text []byte) error {
	var format struct{ Format int }
	if err := json.Unmarshal(text, &format); err != nil {
		return ErrForeign
	}
	if format.Format != Format {
		return FormatError(format.Format)
	}
	return json.Unmarshal(text, &r.contents)
}

// compare checks the sums, and that nothing is missing; it must be last.
func (r *reader) compare(text []byte) error {
	var wanted map[string]string
	if err := json.Unmarshal(text, &wanted); err != nil {
		return err
	}
	if len(wanted) != len(r.sums) || len(r.parts.Authorities) == 0 || len(r.parts.HCL) == 0 {
		return errors.New("a part is missing")
	}
	for name, sum := range wanted {
		if r.sums[name] != sum {
			return fmt.Errorf("%q: not what its sum says", name)
		}
	}
	r.sums = nil
	return r.check.whole()
}

// snapshotCheck sees whether what is written to it ends with its own SHA-256, as
// a snapshot of etcd's does.
type snapshotCheck struct {
	sum    hash.Hash
	tail   []byte
	length int64
}

func newSnapshotCheck() *snapshotCheck { return &snapshotCheck{sum: sha256.New()} }

func (c *snapshotCheck) Write(p []byte) (int, error) {
	c.length += int64(len(p))
	c.tail = append(c.tail, p...)
	if over := len(c.tail) - sha256.Size; over > 0 {
		c.sum.Write(c.tail[:over])
		c.tail = append(c.tail[:0], c.tail[over:]...)
	}
	return len(p), nil
}

func (c *snapshotCheck) whole() error {
	if c.length <= sha256.Size || !bytes.Equal(c.sum.Sum(nil), c.tail) {
		return errors.New("etcd's snapshot is not whole")
	}
	return nil
}
