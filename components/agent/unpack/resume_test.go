package unpack

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components/bundle"
	"provision/components/bundle/bundletest"
)

// What a torn stream brought whole is taken over: the next one need not hold it.
func TestUnpackGoesOnWhereAStreamWasTorn(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	// It ends in the middle of images/pause.tar, its last file.
	torn := data[:position(t, data, "images/pause.tar").Offset+20]
	if _, err := Unpack(t.Context(), bytes.NewReader(torn), root, id); err == nil {
		t.Fatal("no error")
	}
	left := tmpPrefix + id
	for _, name := range []string{"bin/agent", "bin/node"} {
		if got, err := os.ReadFile(filepath.Join(root, left, name)); err != nil || string(got) != old[name] {
			t.Errorf("%s was not kept: %v", name, err)
		}
	}
	result, err := Unpack(t.Context(), bytes.NewReader(bundletest.Only(t, data, "images/pause.tar")), root, id)
	if diff := cmp.Diff(Result{Written: 1, Linked: 2}, result); diff != "" || err != nil {
		t.Error(err, diff)
	}
	for name, content := range old {
		if got, err := os.ReadFile(filepath.Join(root, id, name)); err != nil || string(got) != content {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if names := glob(t, root, ".*"); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// What another bundle's torn stream brought is as good.
func TestUnpackTakesOverAnotherBundlesTornStream(t *testing.T) {
	root := t.TempDir()
	data, oldID := bundletest.Make(t, "1.35.4", map[string]string{
		"bin/agent": old["bin/agent"], "images/pause.tar": old["images/pause.tar"], "images/probe.tar": "probe",
	})
	torn := data[:position(t, data, "images/probe.tar").Offset+20]
	if _, err := Unpack(t.Context(), bytes.NewReader(torn), root, oldID); err == nil {
		t.Fatal("no error")
	}
	part, _, id := newerWithoutOld(t)
	result, err := Unpack(t.Context(), bytes.NewReader(part), root, id)
	if diff := cmp.Diff(Result{Written: 1, Linked: 2}, result); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if names := glob(t, root, ".*"); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// What a killed call leaves is believed in nothing.
func TestUnpackAfterItWasKilled(t *testing.T) {
	data, id := bundletest.Make(t, "1.35.4", old)
	for name, stream := range map[string][]byte{
		"whole": data, "the rest": bundletest.Only(t, data, "bin/node", "images/pause.tar"),
	} {
		root := t.TempDir()
		for name, content := range map[string]string{
			tmpPrefix + id + "/bin/agent":                old["bin/agent"],
			tmpPrefix + id + "/bin/node":                 "half",
			tmpPrefix + id + "/odd/stranger":             "x",
			tmpPrefix + "old-" + id + "/bin/node":        "half",
			tmpPrefix + "1.2.3-0123456789ab/x":           "x",
			tmpPrefix + "1.2.3-0123456789ab/bin/another": "x",
		} {
			name = filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o755)); err != nil {
				t.Fatal(err)
			}
		}
		mustUnpack(t, root, stream, id)
		got := tree(t, filepath.Join(root, id))
		delete(got, bundle.ManifestName)
		if diff := cmp.Diff(old, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if names := glob(t, root, ".*"); len(names) != 0 {
			t.Errorf("%s: left behind: %v", name, names)
		}
	}
}

// A file that was half written when the call was killed is not taken over, and
// where the sender believes that it is there nothing is unpacked.
func TestUnpackReadsWhatItTakesOver(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	half := filepath.Join(root, tmpPrefix+id, "bin/node")
	content := strings.Repeat("new node", 1000) // of the right size
	if err := errors.Join(os.MkdirAll(filepath.Dir(half), 0o755), os.WriteFile(half, []byte(content), 0o755)); err != nil {
		t.Fatal(err)
	}
	_, err := Unpack(t.Context(), bytes.NewReader(bundletest.Only(t, data, "bin/agent", "images/pause.tar")), root, id)
	if err == nil || !strings.Contains(err.Error(), "bin/node is neither in the stream nor, whole,") {
		t.Errorf("the error is %v", err)
	}
	if names := append(glob(t, root, "*"), glob(t, root, ".*")...); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
	mustUnpack(t, root, data, id)
}

// Wherever a stream is torn, between two files as well, what arrived is kept.
func TestUnpackKeepsWhatATornStreamBrought(t *testing.T) {
	data, id := bundletest.Make(t, "1.35.4", old)
	positions, err := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range positions {
		end := p.Offset + p.Length // where the next file begins, or the stream's end
		for _, length := range []int64{end - 1, end, end + 1} {
			root := t.TempDir()
			_, err := Unpack(t.Context(), bytes.NewReader(data[:length]), root, id)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("torn %+d bytes from the end of %s: %v", length-end, p.Name, err)
			}
			if p.Name != bundle.ManifestName && len(glob(t, root, ".*")) != 1 {
				t.Errorf("torn %+d bytes from the end of %s nothing is kept", length-end, p.Name)
			}
		}
	}
}

// A sender that vanished must not keep the next one waiting.
func TestUnpackGivesASilentStreamUp(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	read, write := io.Pipe()
	defer write.Close()
	go write.Write(data[:position(t, data, "images/pause.tar").Offset+20])
	_, err := Unpack(t.Context(), flowing(read, 100*time.Millisecond), root, id)
	if err == nil || !strings.Contains(err.Error(), "nothing came for 100ms") {
		t.Errorf("the error is %v", err)
	}
	if names := glob(t, root, ".*"); len(names) != 1 {
		t.Errorf("kept: %v", names)
	}
	mustUnpack(t, root, bundletest.Only(t, data, "images/pause.tar"), id)
}

func position(t *testing.T, data []byte, name string) bundle.Position {
	t.Helper()
	positions, err := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range positions {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no %s", name)
	return bundle.Position{}
}

// lying is a bundle in which a file is not what the manifest says.
func lying(t *testing.T, data []byte, name, content string) []byte {
	t.Helper()
	p := position(t, data, name)
	frame, err := bundle.Frame(name, 0o755, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	return append(append(bytes.Clone(data[:p.Offset]), frame...), data[p.Offset+p.Length:]...)
}

// TestWhatWasWrittenSinceIsReplaced: a file of the right size and mode that is younger than the manifest.
func TestWhatWasWrittenSinceIsReplaced(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.35.4", old)
	mustUnpack(t, root, data, id)
	name := filepath.Join(root, id, "bin/node")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), len(content)), 0o755); err != nil {
		t.Fatal(err)
	}
	if result, err := Unpack(t.Context(), bytes.NewReader(data), root, id); err != nil || result.Already {
		t.Fatalf("%+v, %v", result, err)
	}
	if again, err := os.ReadFile(name); err != nil || !bytes.Equal(again, content) {
		t.Errorf("bin/node holds %q, %v", again, err)
	}
}
