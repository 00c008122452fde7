package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
)

type text string

func (t text) Size() int64 { return int64(len(t)) }
func (t text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(t))
	return int64(n), err
}
func (text) Close() error { return nil }

func TestSnapshotsAreKept(t *testing.T) {
	s := schedule{dir: filepath.Join(t.TempDir(), "snapshots"), prefix: onSchedule, every: time.Hour, most: 3}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if wait, err := s.due(now); wait > 0 || err != nil {
		t.Errorf("the first is due in %v, %v", wait, err)
	}
	os.WriteFile(filepath.Join(s.dir, ".writing-etcd-1"), nil, 0o600)
	for _, others := range []string{"mine.txt", "upgrade-20200101T000000Z.db"} {
		os.WriteFile(filepath.Join(s.dir, others), nil, 0o600)
	}
	for i := range 5 {
		name, err := s.keep(now.Add(time.Duration(i)*time.Hour), func() (image, error) { return summed{text("content")}, nil })
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(name)
		sum := sha256.Sum256([]byte("content"))
		if err != nil || string(got) != "content"+string(sum[:]) {
			t.Errorf("%q, %v", got, err)
		}
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	names, err := s.names()
	if err != nil || len(names) != 3 || names[0] != "etcd-20260102T050405Z.db" {
		t.Errorf("kept are %v, %v", names, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, ".writing-etcd-1")); err == nil {
		t.Error("what a killed member left is there")
	}
	for _, others := range []string{"mine.txt", "upgrade-20200101T000000Z.db"} {
		if _, err := os.Stat(filepath.Join(s.dir, others)); err != nil {
			t.Errorf("%s is gone", others)
		}
	}
	if wait, err := s.due(now.Add(4*time.Hour + 20*time.Minute)); wait != 40*time.Minute || err != nil {
		t.Errorf("the next is due in %v, %v", wait, err)
	}
}

type huge struct{ text }

func (huge) Size() int64 { return 1 << 60 }

func TestASnapshotDoesNotFillTheDisk(t *testing.T) {
	s := schedule{dir: t.TempDir(), prefix: onSchedule, every: time.Hour, most: 3}
	if _, err := s.keep(time.Now(), func() (image, error) { return huge{"x"}, nil }); err == nil {
		t.Error("it was written")
	}
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	s.run(ctx, zap.NewNop(), func() (image, error) { return text("x"), nil })
	if names, err := s.names(); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// A clock that was ahead for a while leaves snapshots of the future, which must not cost
// the present ones.
func TestSnapshotsOfTheFutureGoFirst(t *testing.T) {
	s := schedule{dir: t.TempDir(), prefix: onSchedule, every: time.Hour, most: 2}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	take := func() (image, error) { return text("x"), nil }
	for _, at := range []time.Time{now.AddDate(1, 0, 0), now.AddDate(1, 0, 1), now, now.Add(time.Hour)} {
		if _, err := s.keep(at, take); err != nil {
			t.Fatal(err)
		}
	}
	names, err := s.names()
	if err != nil || len(names) != 2 || names[0] != "etcd-20260102T030405Z.db" || names[1] != "etcd-20260102T040405Z.db" {
		t.Errorf("kept are %v, %v", names, err)
	}
}
