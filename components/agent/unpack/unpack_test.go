package unpack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/bundle/bundletest"
)

var old = map[string]string{
	"bin/agent":        strings.Repeat("agent", 100),
	"bin/node":         strings.Repeat("old node", 1000),
	"images/pause.tar": "pause",
}

// agent is where the agent of old goes.
var agent = "agent-" + components.Sum([]byte(old["bin/agent"]))[:12] + "/agent"

func TestUnpack(t *testing.T) {
	root := filepath.Join(t.TempDir(), "opt", "provision")
	data, id := bundletest.Make(t, "1.35.4", old)
	sent := bytes.NewReader(data)
	result, err := Unpack(t.Context(), sent, root, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Result{Written: 3}, result); diff != "" {
		t.Error(diff)
	}
	if sent.Len() > 0 {
		t.Errorf("%d bytes were left in the stream", sent.Len())
	}
	want := map[string]string{agent: old["bin/agent"]}
	for name, content := range old {
		want[id+"/"+name] = content
	}
	got := tree(t, root)
	delete(got, id+"/manifest.json")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, mode := range map[string]fs.FileMode{
		agent: 0o755, id + "/bin/node": 0o755, id + "/images/pause.tar": 0o644, id + "/manifest.json": 0o644, id: 0o755, id + "/bin": 0o755,
	} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, mode)
		}
	}
}

func TestUnpackAgainDoesNothing(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	mustUnpack(t, root, data, id)
	before, _ := os.Stat(filepath.Join(root, id, "bin/node"))
	sent := bytes.NewReader(data)
	result, err := Unpack(t.Context(), sent, root, id)
	if err != nil || !result.Already || result.String() != "already unpacked" {
		t.Errorf("%+v, %v", result, err)
	}
	after, _ := os.Stat(filepath.Join(root, id, "bin/node"))
	if !os.SameFile(before, after) {
		t.Error("bin/node is another file now")
	}
	if sent.Len() > 0 {
		t.Error("the stream was not read to its end")
	}
}

func TestUnpackLinksWhatOtherBundlesHold(t *testing.T) {
	root := t.TempDir()
	data, oldID := bundletest.Make(t, "1.35.4", old)
	mustUnpack(t, root, data, oldID)
	part, whole, id := newerWithoutOld(t)

	result, err := Unpack(t.Context(), bytes.NewReader(part), root, id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Result{Written: 1, Linked: 2}, result); diff != "" {
		t.Error(diff)
	}
	for name, content := range whole {
		if got, err := os.ReadFile(filepath.Join(root, id, name)); err != nil || string(got) != content {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	one, _ := os.Stat(filepath.Join(root, oldID, "bin/agent"))
	two, _ := os.Stat(filepath.Join(root, id, "bin/agent"))
	if !os.SameFile(one, two) {
		t.Error("bin/agent lies on the disk twice")
	}
}

// A bundle on the machine that was damaged since must not spread.
func TestUnpackReadsWhatItLinks(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"content": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("tnega", 100)), 0o755) },
		"mode":    func(path string) error { return os.Chmod(path, 0o777) },
		"gone":    os.Remove,
		"a link": func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		},
	} {
		root := t.TempDir()
		data, oldID := bundletest.Make(t, "1.35.4", old)
		mustUnpack(t, root, data, oldID)
		os.RemoveAll(filepath.Join(root, filepath.Dir(agent)))
		if err := damage(filepath.Join(root, oldID, "bin/agent")); err != nil {
			t.Fatal(err)
		}
		part, _, id := newerWithoutOld(t)
		_, err := Unpack(t.Context(), bytes.NewReader(part), root, id)
		if err == nil || !strings.Contains(err.Error(), "bin/agent is neither in the stream nor, whole,") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if names := glob(t, root, "*"); len(names) != 1 {
			t.Errorf("%s: left behind: %v", name, names)
		}
	}
}

func TestUnpackReplacesADamagedFolder(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	for name, damage := range map[string]func() error{
		"cut":       func() error { return os.Truncate(filepath.Join(root, id, "bin/node"), 5) },
		"mode":      func() error { return os.Chmod(filepath.Join(root, id, "bin/node"), 0o600) },
		"gone":      func() error { return os.Remove(filepath.Join(root, id, "images/pause.tar")) },
		"manifest":  func() error { return os.WriteFile(filepath.Join(root, id, "manifest.json"), []byte("{}"), 0o644) },
		"all of it": func() error { return os.RemoveAll(filepath.Join(root, id, "bin")) },
	} {
		mustUnpack(t, root, data, id)
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		result, err := Unpack(t.Context(), bytes.NewReader(data), root, id)
		if err != nil || result.Written != 3 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
		if names := glob(t, root, ".*"); len(names) != 0 {
			t.Errorf("%s: left behind: %v", name, names)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	data, id := bundletest.Make(t, "1.35.4", old)
	other, _ := bundletest.Make(t, "1.35.4", map[string]string{"bin/node": "other"})
	changed := lying(t, data, "bin/node", strings.Repeat("odd node", 1000))
	for name, test := range map[string]struct {
		data []byte
		id   string
	}{
		"another bundle": {other, id},
		"changed":        {changed, id},
		"nothing":        {nil, id},
		"climbing id":    {data, "../" + id},
		"hidden id":      {data, "." + id},
		"agent's id":     {data, "agent-0123456789ab"},
		"empty id":       {data, ""},
	} {
		root := t.TempDir()
		if _, err := Unpack(t.Context(), bytes.NewReader(test.data), root, test.id); err == nil {
			t.Errorf("%s: no error", name)
		}
		if names := append(glob(t, root, "*"), glob(t, root, ".*")...); len(names) != 0 {
			t.Errorf("%s: left behind: %v", name, names)
		}
	}
}

func TestUnpackStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	data, id := bundletest.Make(t, "1.35.4", old)
	cancel()
	root := t.TempDir()
	if _, err := Unpack(ctx, bytes.NewReader(data), root, id); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	unlock, err := durable.Lock(t.Context(), root, "another unpacking")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = Unpack(ctx, bytes.NewReader(data), root, id)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another unpacking holds it") {
		t.Errorf("the error is %v", err)
	}
}

func TestTwoCallsAtOnce(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	var both sync.WaitGroup
	var already [2]bool
	for i := range already {
		both.Go(func() {
			result, err := Unpack(t.Context(), bytes.NewReader(data), root, id)
			if err != nil {
				t.Error(err)
			}
			already[i] = result.Already
		})
	}
	both.Wait()
	if already[0] == already[1] {
		t.Errorf("already there: %v; one call had to unpack and one to find it", already)
	}
}

func TestCommand(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	cmd := NewCommand()
	var out strings.Builder
	cmd.SetIn(bytes.NewReader(data))
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs([]string{"--root", root, "--id", id})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if out.String() != "unpacked: 3 files written, 0 linked\n" {
		t.Errorf("it says %q", &out)
	}
}

// newerWithoutOld returns a newer bundle's stream without the files that old
// has as well, all its files, and its id.
func newerWithoutOld(t *testing.T) (part []byte, whole map[string]string, id string) {
	t.Helper()
	whole = map[string]string{
		"bin/agent": old["bin/agent"], "bin/node": "new node", "images/pause.tar": old["images/pause.tar"],
	}
	data, id := bundletest.Make(t, "1.36.3", whole)
	return bundletest.Only(t, data, "bin/node"), whole, id
}

func mustUnpack(t *testing.T, root string, data []byte, id string) {
	t.Helper()
	if _, err := Unpack(t.Context(), bytes.NewReader(data), root, id); err != nil {
		t.Fatal(err)
	}
}

// tree returns the contents of all files by their names below a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == sealName {
			return err
		}
		content, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(relative)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	var visible []string
	for _, name := range names {
		if pattern != "*" || !strings.HasPrefix(filepath.Base(name), ".") {
			visible = append(visible, filepath.Base(name))
		}
	}
	return visible
}
