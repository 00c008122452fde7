package bundle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	format "provision/components/bundle"
	"provision/components/bundle/bundletest"
)

var files = map[string]string{
	"bin/agent":        strings.Repeat("agent", 100),
	"bin/node":         strings.Repeat("node", 100000),
	"images/pause.tar": "pause",
}

func open(t *testing.T, data []byte) (*Bundle, error) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bundle-1.36.3-linux-amd64.tar.zst")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := Open(name)
	if err == nil {
		t.Cleanup(func() { b.Close() })
	}
	return b, err
}

func mustOpen(t *testing.T) *Bundle {
	t.Helper()
	data, _ := bundletest.Make(t, "1.36.3", files)
	b, err := open(t, data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpen(t *testing.T) {
	b := mustOpen(t)
	_, id := bundletest.Make(t, "1.36.3", files)
	want := components.Bundle{
		ID:   id,
		Arch: "amd64",
		Files: map[string]string{
			"bin/agent":        components.Sum([]byte(files["bin/agent"])),
			"bin/node":         components.Sum([]byte(files["bin/node"])),
			"images/pause.tar": components.Sum([]byte("pause")),
		},
		Images: []components.Image{{Name: "provision.internal/pause:1", File: "images/pause.tar"}},
	}
	if diff := cmp.Diff(want, b.Components()); diff != "" {
		t.Error(diff)
	}
	for name, want := range files {
		if got, err := b.File(name); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := b.File("bin/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What arrives is what the receiving end reads: the manifest, and the files
// that it does not have.
func TestSendLeavesOutWhatIsThere(t *testing.T) {
	b := mustOpen(t)
	for _, have := range [][]string{nil, {"bin/node"}, {"bin/agent", "bin/node", "images/pause.tar"}} {
		want := map[string]bool{"bin/agent": true, "bin/node": true, "images/pause.tar": true}
		sums := map[string]bool{}
		for _, name := range have {
			sums[components.Sum([]byte(files[name]))] = true
			delete(want, name)
		}
		var sent bytes.Buffer
		if err := b.Send(t.Context(), &sent, sums); err != nil {
			t.Fatal(err)
		}
		// The end of the stream is a few bytes of zeros.
		if size := b.Size(sums); int64(sent.Len()) < size || int64(sent.Len()) > size+1024 {
			t.Errorf("have %v: %d bytes sent, announced %d", have, sent.Len(), size)
		}
		if diff := cmp.Diff(want, received(t, &sent, b.ID())); diff != "" {
			t.Errorf("have %v: %s", have, diff)
		}
	}
}

func received(t *testing.T, r io.Reader, id string) map[string]bool {
	t.Helper()
	s, err := format.NewStream(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if m, raw := s.Manifest(); format.ID(m.Kubernetes, raw) != id {
		t.Errorf("another manifest arrived")
	}
	got := map[string]bool{}
	for {
		file, content, err := s.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			t.Fatal(err)
		}
		got[file.Name] = true
	}
}

func TestSendStopsWhenTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := mustOpen(t).Send(ctx, io.Discard, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	broken := errors.New("line cut")
	r, w := io.Pipe()
	r.CloseWithError(broken)
	if err := mustOpen(t).Send(t.Context(), w, nil); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

// One changed byte anywhere is found before anything is sent: by Open where it
// is in the manifest or the index, else by the first use, of whatever file.
func TestEveryChangedByteIsFound(t *testing.T) {
	small := map[string]string{"bin/agent": "agent", "bin/node": "node"}
	data, _ := bundletest.Make(t, "1.36.3", small)
	damaged := 0
	for i := range data {
		changed := bytes.Clone(data)
		changed[i] ^= 0x40
		b, err := open(t, changed)
		if err != nil {
			continue
		}
		var sent bytes.Buffer
		sendErr := b.Send(t.Context(), &sent, nil)
		content, err := b.File("bin/agent")
		b.Close()
		var damage *DamagedError
		if errors.As(sendErr, &damage) {
			damaged++
			if sent.Len() > 0 || !errors.As(err, &damage) {
				t.Errorf("byte %d: %d bytes were sent of a damaged bundle, and File says %v", i, sent.Len(), err)
			}
			continue
		}
		if sendErr != nil || err != nil || string(content) != "agent" {
			t.Errorf("byte %d: Send says %v, File %v, and the file is %q", i, sendErr, err, content)
		}
	}
	if damaged < 50 {
		t.Errorf("only %d changed bytes were found by their file's sum", damaged)
	}
}

func TestADamagedBundleIsNamed(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", files)
	positions, err := format.ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	data[positions[2].Offset+positions[2].Length/2] ^= 1 // bin/node's frame
	b, err := open(t, data)
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.File("bin/agent")
	if err == nil || !strings.Contains(err.Error(), b.file.Name()+" is damaged") || !strings.Contains(err.Error(), "bin/node") {
		t.Errorf("the error is %v", err)
	}
}

func TestFilesThatAreNoBundle(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", files)
	for name, content := range map[string][]byte{
		"empty": {}, "text": []byte("not a bundle, but a text"), "cut": data[:len(data)/2],
	} {
		if _, err := open(t, content); err == nil || !strings.Contains(err.Error(), "linux-amd64.tar.zst: index: the file") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a folder was opened")
	}
}

func TestIndexMustMatchTheManifest(t *testing.T) {
	raw, err := format.Manifest{Format: 1, Kubernetes: "1.36.3", OS: "linux", Arch: "amd64"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	frame, err := format.Frame("extra", 0o644, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for name, frames := range map[string][]format.NamedFrame{
		"unlisted": {{Name: "extra", Data: frame}},
		"twice":    {{Name: format.ManifestName, Data: frame}},
	} {
		var out bytes.Buffer
		if err := format.Write(&out, raw, frames); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, out.Bytes()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
