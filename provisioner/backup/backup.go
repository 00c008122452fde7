// Package backup is the file that a cluster comes back from on blank machines:
// what etcd holds, the cluster's secrets, its inventory and the cluster file, in
// one encrypted file. It knows the format and nothing of how a backup is taken
// (provisioner/cli) or brought back (components/restore).
//
// The file is in the format of age (age-encryption.org/v1). What is in it is a tar,
// compressed with zstd: backup.json (Contents) first, then cluster.hcl,
// authorities.json, overlay.psk where the cluster has one, etcd.db/00000 and
// following (the snapshot in parts), and sums.json last, which has the SHA-256 of
// every other. Standard tools read it: age -d | tar --zstd -x.
package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"provision/components"
)

// Format is the one that Write writes and Read reads.
const Format = 1

// Contents says what a backup is of. Nothing in it is secret, but it is encrypted
// like the rest.
type Contents struct {
	Format     int                 `json:"format"`
	ID         string              `json:"id"` // random
	Cluster    string              `json:"cluster"`
	Kubernetes string              `json:"kubernetes"` // version: "1.36.3"
	Taken      time.Time           `json:"taken"`
	Network    components.Network  `json:"network"`
	Machines   []components.Member `json:"machines"` // the inventory
}

// Parts are a backup's small pieces.
type Parts struct {
	HCL          []byte // the cluster file's text
	Authorities  []byte // what "agent certificates export-authorities" prints; secret
	PresharedKey []byte // the overlay's, or nothing; secret
}

// Names in the tar.
const (
	contentsName    = "backup.json"
	hclName         = "cluster.hcl"
	authoritiesName = "authorities.json"
	pskName         = "overlay.psk"
	snapshotFolder  = "etcd.db/"
	sumsName        = "sums.json"
)

// partSize is how much of the snapshot is in one entry: its length is not known
// before it was read.
const partSize = 4 << 20

// Write writes a backup. snapshot writes etcd's; ctx ends it. It fails where that is
// no whole snapshot.
func Write(ctx context.Context, to io.Writer, contents Contents, parts Parts, snapshot func(context.Context, io.Writer) error, recipients ...age.Recipient) error {
	sealed, err := age.Encrypt(to, recipients...)
	if err != nil {
		return err
	}
	packed, err := zstd.NewWriter(sealed)
	if err != nil {
		return err
	}
	defer packed.Close()
	w := writer{tar: tar.NewWriter(packed), taken: contents.Taken, sums: map[string]string{}}
	contents.Format = Format
	text, err := json.MarshalIndent(contents, "", "  ")
	if err != nil {
		return err
	}
	small := []entry{{contentsName, text}, {hclName, parts.HCL}, {authoritiesName, parts.Authorities}}
	if len(parts.PresharedKey) > 0 {
		small = append(small, entry{pskName, parts.PresharedKey})
	}
	for _, e := range small {
		if err := w.add(e.name, e.content); err != nil {
			return err
		}
	}
	check := newSnapshotCheck()
	if err := snapshot(ctx, io.MultiWriter(&w, check)); err != nil {
		return err
	}
	if err := check.whole(); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	if text, err = json.Marshal(w.sums); err != nil {
		return err
	}
	for _, step := range []func() error{func() error { return w.add(sumsName, text) }, w.tar.Close, packed.Close, sealed.Close} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type entry struct {
	name    string
	content []byte
}

// writer writes entries, and the snapshot that is written to it in parts.
type writer struct {
	tar   *tar.Writer
	taken time.Time
	sums  map[string]string
	part  bytes.Buffer
	parts int
}

func (w *writer) add(name string, content []byte) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(content)), ModTime: w.taken}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	w.sums[name] = hex.EncodeToString(sum[:])
	_, err := w.tar.Write(content)
	return err
}

func (w *writer) Write(p []byte) (int, error) {
	w.part.Write(p)
	for w.part.Len() >= partSize {
		if err := w.addPart(w.part.Next(partSize)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *writer) addPart(content []byte) error {
	w.parts++
	return w.add(partName(w.parts-1), content)
}

func (w *writer) flush() error {
	if w.part.Len() == 0 {
		return nil
	}
	return w.addPart(w.part.Bytes())
}

func partName(i int) string { return fmt.Sprintf("%s%05d", snapshotFolder, i) }
