// Package unpack puts a bundle on the machine: it writes the files of a stream
// into a folder named by the bundle's id, links those that other bundles on the
// machine already hold, and imports the images into containerd.
//
// The stream is a stranger's until its sums match: the manifest must have the
// id that was asked for, and every file the sum that the manifest says. What
// the files are for, and which units name them, is the provisioner's affair.
package unpack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"provision/components/agent/durable"
	"provision/components/bundle"
)

// tmpPrefix begins the names of unfinished folders. It begins with a dot so
// that nobody takes them for bundles. What of one is whole need not be sent
// again: facts reports the sums of its files.
const tmpPrefix = ".tmp-unpack-"

// idForm is what an id, and with it a folder below root, may be called.
var idForm = regexp.MustCompile(`^[0-9][0-9a-z.-]{0,40}-[0-9a-f]{12}$`)

// Result says what Unpack did.
type Result struct {
	Already bool // the folder was there, whole
	Written int  // files from the stream
	Linked  int  // files from other bundles
}

// String is the sentence that the command prints.
func (r Result) String() string {
	if r.Already {
		return "already unpacked"
	}
	return fmt.Sprintf("unpacked: %d files written, %d linked", r.Written, r.Linked)
}

// Unpack reads a bundle's stream to its end and makes the folder root/id of it.
// A call that is killed, or whose stream is torn, leaves nothing but a folder
// whose whole files the next call takes over. Calls at the same time wait for
// one another.
func Unpack(ctx context.Context, stream io.Reader, root, id string) (Result, error) {
	return unpack(ctx, stream, root, id, nil)
}

// unpack is Unpack; manifest, where it is not nil, is the only one that the stream
// may begin with, since it is another machine's.
func unpack(ctx context.Context, stream io.Reader, root, id string, manifest []byte) (result Result, err error) {
	err = locked(ctx, root, id, func(u *unpacking) error {
		u.manifest = manifest
		result, err = u.run(stream)
		keep := ""
		if torn(err) || manifest != nil && errors.As(err, new(sourceError)) {
			keep = tmpPrefix + id
		}
		if sweepErr := sweep(u.dir, keep); err == nil {
			err = sweepErr
		}
		if err != nil {
			result = Result{}
			return fmt.Errorf("bundle %s: %w", id, err)
		}
		if manifest == nil {
			// The operator is at ease only when all that was sent was read.
			_, err = io.Copy(io.Discard, stream)
		}
		return err
	})
	return result, err
}

// locked does a call's work while no other call does.
func locked(ctx context.Context, root, id string, work func(*unpacking) error) error {
	if !idForm.MatchString(id) {
		return fmt.Errorf("%.60q is no bundle's id", id)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	unlock, err := durable.Lock(ctx, root, "another unpacking")
	if err != nil {
		return err
	}
	defer unlock()
	return work(&unpacking{ctx: ctx, dir: dir, root: root, id: id})
}

// unpacking is one call's work, with the lock held.
type unpacking struct {
	ctx  context.Context
	dir  *os.Root
	root string // dir's path
	id   string

	manifest []byte // the only one that is believed; nil: any of that id
}

func (u *unpacking) run(stream io.Reader) (Result, error) {
	if manifest, err := u.complete(); err == nil {
		return Result{Already: true}, u.placeAgent(manifest)
	}
	s, err := bundle.NewStream(stream)
	if err != nil {
		return Result{}, sourceError{err}
	}
	defer s.Close()
	manifest, raw := s.Manifest()
	if u.manifest != nil && !bytes.Equal(raw, u.manifest) {
		return Result{}, sourceError{errors.New("the stream begins with another manifest")}
	}
	if got := bundle.ID(manifest.Kubernetes, raw); got != u.id {
		return Result{}, fmt.Errorf("the stream holds bundle %s", got)
	}
	tmp := tmpPrefix + u.id
	result, err := u.fill(s, raw, tmp)
	if err != nil {
		return Result{}, err
	}
	if err := u.moveIn(tmp); err != nil {
		return Result{}, err
	}
	return result, u.placeAgent(manifest)
}

// fill makes the unfinished folder: the manifest, the stream's files, and the
// rest as links.
func (u *unpacking) fill(s *bundle.Stream, raw []byte, tmp string) (Result, error) {
	var result Result
	if err := u.prepare(s, tmp); err != nil {
		return result, err
	}
	if err := u.write(path.Join(tmp, bundle.ManifestName), 0o644, strings.NewReader(string(raw))); err != nil {
		return result, err
	}
	for {
		if err := u.ctx.Err(); err != nil {
			return result, err
		}
		file, content, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return result, sourceError{err}
		}
		if err := u.write(path.Join(tmp, file.Name), fs.FileMode(file.Mode), blamed{content}); err != nil {
			return result, err
		}
		result.Written++
	}
	missing := s.Missing()
	result.Linked = len(missing)
	if err := u.link(missing, tmp); err != nil {
		return result, err
	}
	return result, u.seal(tmp)
}

// sealName is an empty file of a bundle's folder, which is its youngest: what is
// younger was written by somebody else. Facts compares as well.
const sealName = "sealed"

// seal writes that file, last of all.
func (u *unpacking) seal(tmp string) error {
	latest := time.Now()
	err := fs.WalkDir(u.dir.FS(), tmp, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.ModTime().After(latest) {
			latest = info.ModTime() // the clock went back in between
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := u.write(path.Join(tmp, sealName), 0o644, strings.NewReader("")); err != nil {
		return err
	}
	return u.dir.Chtimes(path.Join(tmp, sealName), latest, latest)
}

// write makes a new file, in place of what an earlier call left, and the folders
// that it lies in.
func (u *unpacking) write(name string, mode fs.FileMode, content io.Reader) error {
	if err := u.dir.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	if err := u.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := u.dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	// Hiding os.File's ReadFrom makes Copy use the large buffer.
	if _, err := io.CopyBuffer(struct{ io.Writer }{file}, content, make([]byte, 256<<10)); err != nil {
		return err
	}
	// The mode above was subject to the umask.
	if err := file.Chmod(mode); err != nil {
		return err
	}
	// The disk may begin now; the sync at the end then has less to wait for.
	_ = unix.SyncFileRange(int(file.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE)
	return file.Close()
}

// moveIn brings the finished folder to disk and to its name. A damaged one
// of that name goes: programs that run from it keep their files open.
func (u *unpacking) moveIn(tmp string) error {
	if err := syncTree(filepath.Join(u.root, tmp)); err != nil {
		return err
	}
	if _, err := u.dir.Lstat(u.id); err == nil {
		old := tmpPrefix + "old-" + u.id
		if err := u.dir.Rename(u.id, old); err != nil {
			return err
		}
		defer u.dir.RemoveAll(old)
	}
	if err := u.dir.Rename(tmp, u.id); err != nil {
		return err
	}
	return syncDir(u.root)
}

// complete returns the manifest of the folder where it is there with every
// file: names, sizes, modes and times are looked at, contents are not.
func (u *unpacking) complete() (bundle.Manifest, error) {
	manifest, raw, err := readManifest(u.dir, u.id)
	if err != nil {
		return bundle.Manifest{}, err
	}
	if bundle.ID(manifest.Kubernetes, raw) != u.id {
		return bundle.Manifest{}, errors.New("the manifest is another's")
	}
	// One that an agent of before there were seals has unpacked has none.
	sealed, err := u.dir.Lstat(path.Join(u.id, sealName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return bundle.Manifest{}, err
	}
	for _, file := range manifest.Files {
		info, err := u.dir.Lstat(path.Join(u.id, file.Name))
		if err != nil {
			return bundle.Manifest{}, err
		}
		if info.Size() != file.Size || info.Mode() != fs.FileMode(file.Mode) || sealed != nil && info.ModTime().After(sealed.ModTime()) {
			return bundle.Manifest{}, &bundle.SumError{Name: file.Name}
		}
	}
	return manifest, nil
}
