package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/etcdserver/api/snap"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
)

// store is a member's data folder, looked at and worked on without etcd.
type store struct {
	dir string // what etcd calls its data-dir; the data are in "member"
	log *zap.Logger
}

func (s store) wal() string  { return filepath.Join(s.dir, "member", "wal") }
func (s store) snap() string { return filepath.Join(s.dir, "member", "snap") }
func (s store) db() string   { return filepath.Join(s.snap(), "db") }

// record is what a member's log says.
type record struct {
	id    etcdserverpb.Metadata // the member's and its cluster's
	start walpb.Snapshot        // where the log begins
	state raftpb.HardState
	term  uint64 // of the last entry
	index uint64 // of the last entry, whether or not this member knows it to be committed
}

// read reads the log, also beside a running etcd.
func (s store) read() (record, error) {
	var r record
	valid, err := wal.ValidSnapshotEntries(s.log, s.wal())
	if err != nil {
		return r, err
	}
	newest, err := snap.New(s.log, s.snap()).LoadNewestAvailable(valid)
	if err != nil && !errors.Is(err, snap.ErrNoSnapshot) {
		return r, err
	}
	if newest != nil {
		r.start = walpb.Snapshot{Index: newest.Metadata.Index, Term: newest.Metadata.Term}
	}
	log, err := wal.OpenForRead(s.log, s.wal(), r.start)
	if err != nil {
		return r, err
	}
	defer log.Close()
	metadata, state, entries, err := log.ReadAll()
	if err != nil {
		return r, err
	}
	if err := r.id.Unmarshal(metadata); err != nil {
		return r, err
	}
	r.state, r.term, r.index = state, r.start.Term, r.start.Index
	if n := len(entries); n > 0 {
		r.term, r.index = entries[n-1].Term, entries[n-1].Index
	}
	return r, nil
}

// commit says of every entry of the log that it is committed. A member hears so
// from its leader a moment after it stored the entry, and writes it down later
// still: what the last writes were is lost otherwise, though they are there. One
// that never was acknowledged does no harm.
func (s store) commit() error {
	r, err := s.read()
	if err != nil {
		return err
	}
	log, err := wal.Open(s.log, s.wal(), r.start)
	if err != nil {
		return err
	}
	_, _, _, err = log.ReadAll()
	if errors.Is(err, io.ErrUnexpectedEOF) { // the power went in the middle of a write
		log.Close()
		if !wal.Repair(s.log, s.wal()) {
			return fmt.Errorf("%s: its end is damaged, and cannot be repaired", s.wal())
		}
		if log, err = wal.Open(s.log, s.wal(), r.start); err != nil {
			return err
		}
		_, _, _, err = log.ReadAll()
	}
	if err == nil {
		r.state.Term, r.state.Commit = max(r.state.Term, r.term), max(r.state.Commit, r.index)
		err = errors.Join(log.Save(r.state, nil), log.Sync())
	}
	return errors.Join(err, log.Close())
}

// lock keeps etcd from running on these data until it is given back.
func (s store) lock() (unlock func(), err error) {
	segments, err := filepath.Glob(filepath.Join(s.wal(), "*.wal"))
	if err != nil {
		return nil, err
	}
	var held []*fileutil.LockedFile
	unlock = func() {
		for _, f := range held {
			f.Close()
		}
	}
	for _, name := range segments {
		f, err := fileutil.TryLockFile(name, os.O_RDWR, 0o600)
		if err != nil {
			unlock()
			return nil, fmt.Errorf("%s: etcd still runs: %w", s.dir, err)
		}
		held = append(held, f)
	}
	return unlock, nil
}

// copyTo copies the data; what etcd has only prepared is left out.
func (s store) copyTo(dir string) (store, error) {
	from := filepath.Join(s.dir, "member")
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rest, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, "member", rest)
		switch {
		case entry.IsDir():
			return os.MkdirAll(to, 0o700)
		case !entry.Type().IsRegular() || strings.HasSuffix(name, ".tmp"):
			return nil
		}
		return copyFile(name, to)
	})
	return store{dir, s.log}, err
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// newest is the file of the log that is written to.
func (s store) newest() (fs.FileInfo, error) {
	segments, err := filepath.Glob(filepath.Join(s.wal(), "*.wal"))
	if err != nil {
		return nil, err
	}
	if len(segments) == 0 {
		return nil, fmt.Errorf("%s: holds no log", s.wal())
	}
	slices.Sort(segments)
	return os.Stat(segments[len(segments)-1])
}
