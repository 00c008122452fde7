package bundle_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/bundle"
	"provision/components/bundle/bundletest"
)

var files = map[string]string{
	"bin/agent":        strings.Repeat("agent ", 1000),
	"bin/node":         strings.Repeat("node", 100000),
	"images/pause.tar": "",
	"licenses/go.txt":  "a licence",
}

func TestEqualContentGivesEqualBytes(t *testing.T) {
	one, _ := bundletest.Make(t, "1.36.3", files)
	two, _ := bundletest.Make(t, "1.36.3", files)
	if !bytes.Equal(one, two) {
		t.Error("two bundles of the same files differ")
	}
}

func TestIndexFindsEveryFile(t *testing.T) {
	data, id := bundletest.Make(t, "1.36.3", files)
	positions, err := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	frame := func(i int) io.Reader {
		return bytes.NewReader(data[positions[i].Offset:][:positions[i].Length])
	}
	manifest, raw, err := bundle.ReadManifest(frame(0))
	if err != nil {
		t.Fatal(err)
	}
	if got := bundle.ID(manifest.Kubernetes, raw); got != id {
		t.Errorf("the id is %s and not %s", got, id)
	}
	got := map[string]string{}
	for i, file := range manifest.Files {
		content, err := bundle.ReadFrame(frame(i+1), file)
		if err != nil {
			t.Fatal(err)
		}
		got[positions[i+1].Name] = string(content)
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Error(diff)
	}
}

func TestFrameOfAnotherFileIsRefused(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", files)
	positions, _ := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
	manifest, _, _ := bundle.ReadManifest(bytes.NewReader(data))
	node := bytes.NewReader(data[positions[2].Offset:][:positions[2].Length])
	if _, err := bundle.ReadFrame(node, manifest.Files[0]); err == nil {
		t.Error("bin/node's frame was read as bin/agent")
	}
	wrong := manifest.Files[1]
	wrong.SHA256 = strings.Repeat("00", 32)
	node.Seek(0, io.SeekStart)
	_, err := bundle.ReadFrame(node, wrong)
	if sum := (*bundle.SumError)(nil); !errors.As(err, &sum) || sum.Name != "bin/node" {
		t.Errorf("the error is %v and not one about bin/node's sum", err)
	}
}

// What people have on their machines must be able to read a bundle.
func TestStandardToolsReadIt(t *testing.T) {
	for _, tool := range []string{"zstd", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	data, _ := bundletest.Make(t, "1.36.3", files)
	cmd := exec.Command("sh", "-c", "zstd -dc | tar -tf -")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "manifest.json\nbin/agent\nbin/node\nimages/pause.tar\nlicenses/go.txt\n"
	if diff := cmp.Diff(want, string(out)); diff != "" {
		t.Error(diff)
	}
}

func TestIndexesThatAreRefused(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", files)
	index := func(positions ...bundle.Position) []byte {
		frame, err := bundle.Index(positions)
		if err != nil {
			t.Fatal(err)
		}
		return append(bytes.Repeat([]byte{0}, 100), frame...)
	}
	first := bundle.Position{Name: bundle.ManifestName, Length: 50}
	for name, file := range map[string][]byte{
		"empty":             {},
		"short":             []byte("short"),
		"cut":               data[:len(data)-3],
		"cut in the middle": data[:len(data)/2],
		"long":              append(bytes.Clone(data), 0),
		"no entry":          index(),
		"no manifest":       index(bundle.Position{Name: "bin/node", Length: 5}),
		"gap":               index(first, bundle.Position{Name: "a", Offset: 60, Length: 5}),
		"overlap":           index(first, bundle.Position{Name: "a", Offset: 40, Length: 5}),
		"past the end":      index(first, bundle.Position{Name: "a", Offset: 50, Length: 51}),
		"overflow":          index(first, bundle.Position{Name: "a", Offset: 50, Length: 1<<63 - 1}),
		"negative":          index(first, bundle.Position{Name: "a", Offset: 50, Length: -1}),
	} {
		if _, err := bundle.ReadIndex(bytes.NewReader(file), int64(len(file))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzReadIndex(f *testing.F) {
	data, _ := bundletest.Make(f, "1.36.3", map[string]string{"a": "b"})
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		positions, err := bundle.ReadIndex(bytes.NewReader(data), int64(len(data)))
		for _, p := range positions {
			if err == nil && (p.Offset < 0 || p.Length < 0 || p.Offset+p.Length > int64(len(data))) {
				t.Errorf("%+v lies outside of %d bytes", p, len(data))
			}
		}
	})
}

// A folder is packed into a stream, without what its reader has.
func TestPack(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", map[string]string{"bin/node": "node", "images/pause.tar": strings.Repeat("pause", 100000)})
	s, err := bundle.NewStream(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	manifest, raw := s.Manifest()
	s.Close()
	folder := fstest.MapFS{"images/pause.tar": &fstest.MapFile{Data: []byte(strings.Repeat("pause", 100000))}}
	var packed bytes.Buffer
	if err := bundle.Pack(&packed, manifest, raw, folder, map[string]bool{components.Sum([]byte("node")): true}); err != nil {
		t.Fatal(err)
	}
	got, err := bundle.NewStream(&packed)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	file, content, err := got.Next()
	if err != nil || file.Name != "images/pause.tar" {
		t.Fatalf("%v, %v", file, err)
	}
	if text, err := io.ReadAll(content); err != nil || len(text) != 500000 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if _, _, err := got.Next(); err != io.EOF {
		t.Error(err)
	}
	if missing := got.Missing(); len(missing) != 1 || missing[0].Name != "bin/node" {
		t.Errorf("missing: %v", missing)
	}
}
