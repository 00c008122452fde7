package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Snapshots that a member keeps of itself are called like this; in etcd's own format,
// the last 32 bytes are the SHA-256 of the rest.
const (
	onSchedule    = "etcd-"
	beforeUpgrade = "upgrade-"
	keptSuffix    = ".db"
	keptTime      = "20060102T150405Z"
)

// image is what a member holds at one moment.
type image interface {
	Size() int64
	WriteTo(w io.Writer) (int64, error)
	Close() error
}

// summed is a member's own image, ended by its sum.
type summed struct{ image }

func (s summed) WriteTo(w io.Writer) (int64, error) {
	sum := sha256.New()
	n, err := s.image.WriteTo(io.MultiWriter(w, sum))
	if err != nil {
		return n, err
	}
	m, err := w.Write(sum.Sum(nil))
	return n + int64(m), err
}

// schedule is how often a member keeps a snapshot of itself, and how many.
type schedule struct {
	dir    string
	prefix string // of their names
	every  time.Duration
	most   int
}

// run keeps snapshots until ctx is done. The first is due when the newest is old
// enough, whenever the member was started. One that fails is told of and tried again
// after a tenth of the time.
func (s schedule) run(ctx context.Context, log *zap.Logger, take func() (image, error)) {
	for {
		wait, err := s.due(time.Now())
		if err == nil && wait <= 0 {
			_, err = s.keep(time.Now(), take)
			wait = s.every
		}
		if err != nil {
			log.Error("no snapshot was kept", zap.String("folder", s.dir), zap.Error(err))
			wait = s.every / 10
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, time.Second)):
		}
	}
}

// names are those kept, oldest first.
func (s schedule) names() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if _, err := s.at(entry.Name()); err == nil {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// at is when a snapshot was kept, by its name.
func (s schedule) at(name string) (time.Time, error) {
	text, one := strings.CutPrefix(name, s.prefix)
	text, two := strings.CutSuffix(text, keptSuffix)
	if !one || !two {
		return time.Time{}, errors.New("no snapshot")
	}
	return time.Parse(keptTime, text)
}

// due is how long it is until the next is to be kept.
func (s schedule) due(now time.Time) (time.Duration, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return 0, err
	}
	names, err := s.names()
	if err != nil || len(names) == 0 {
		return 0, err
	}
	newest, err := s.at(names[len(names)-1])
	if err != nil || newest.After(now) { // a clock that was wrong
		return 0, err
	}
	return newest.Add(s.every).Sub(now), nil
}

// keep writes one and removes the oldest beyond so many. It leaves the disk alone
// where that has not twice the room.
func (s schedule) keep(now time.Time, take func() (image, error)) (string, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", err
	}
	left, err := filepath.Glob(filepath.Join(s.dir, temporary+s.prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, name := range left { // a killed member's
		if err := os.Remove(name); err != nil {
			return "", err
		}
	}
	content, err := take()
	if err != nil {
		return "", err
	}
	defer content.Close()
	var disk unix.Statfs_t
	if err := unix.Statfs(s.dir, &disk); err != nil {
		return "", err
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < 2*content.Size() {
		return "", fmt.Errorf("%d MB are free, and a snapshot has %d", free>>20, content.Size()>>20)
	}
	name := filepath.Join(s.dir, s.prefix+now.UTC().Format(keptTime)+keptSuffix)
	if err := write(s.dir, temporary+s.prefix, name, content); err != nil {
		return "", err
	}
	names, err := s.names()
	if err != nil {
		return "", err
	}
	// Those that a wrong clock dated after now go first; never the one just written.
	names = slices.DeleteFunc(names, func(other string) bool { return other == filepath.Base(name) })
	slices.SortStableFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.goes(a, now), s.goes(b, now)), strings.Compare(a, b))
	})
	for _, old := range names[:max(0, len(names)+1-s.most)] {
		if err := os.Remove(filepath.Join(s.dir, old)); err != nil {
			return "", err
		}
	}
	return name, nil
}

// temporary begins the names of those that are being written.
const temporary = ".writing-"

// goes is 0 for a snapshot that is dated after now, and 1 for any other.
func (s schedule) goes(name string, now time.Time) int {
	if at, err := s.at(name); err == nil && at.After(now) {
		return 0
	}
	return 1
}

// write makes the file whole, under another name, before it gets its own.
func write(dir, prefix, name string, content io.WriterTo) error {
	out, err := os.CreateTemp(dir, prefix+"*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	if _, err := content.WriteTo(out); err != nil {
		return err
	}
	if err := errors.Join(out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), name)
}
