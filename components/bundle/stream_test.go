package bundle_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"provision/components"
	"provision/components/bundle"
	"provision/components/bundle/bundletest"
)

func TestStreamYieldsEveryFile(t *testing.T) {
	data, _ := bundletest.Make(t, "1.36.3", files)
	got, err := readStream(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(files, got); diff != "" {
		t.Error(diff)
	}
}

func TestStreamNamesWhatWasLeftOut(t *testing.T) {
	data := stream(t, entry{name: "a", content: "one"}, entry{name: "b", content: "two", skip: true})
	s, err := bundle.NewStream(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for err == nil {
		_, _, err = s.Next()
	}
	if missing := s.Missing(); len(missing) != 1 || missing[0].Name != "b" {
		t.Errorf("missing are %v and not b", missing)
	}
}

func TestStreamsThatAreRefused(t *testing.T) {
	whole := stream(t, entry{name: "a", content: "one"})
	for name, data := range map[string][]byte{
		"nothing":         {},
		"no zstd":         []byte("this is not zstd at all"),
		"cut in manifest": whole[:20],
		"other content":   stream(t, entry{name: "a", content: "one", sent: "two"}),
		"shorter content": stream(t, entry{name: "a", content: "one", sent: "on"}),
		"longer content":  stream(t, entry{name: "a", content: "one", sent: "one!"}),
		"a link":          stream(t, entry{name: "a", content: "", kind: tar.TypeSymlink}),
		"a folder":        stream(t, entry{name: "a", content: "", kind: tar.TypeDir}),
		"unlisted":        stream(t, entry{name: "a", content: "x"}, entry{name: "../evil", content: "x", unlisted: true}),
		"twice":           stream(t, entry{name: "a", content: "x"}, entry{name: "a", content: "x", unlisted: true}),
		"no manifest":     tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1}, "x"),
		"huge manifest":   tarOf(t, tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Size: 5 << 20}, strings.Repeat(" ", 5<<20)),
	} {
		if got, err := readStream(data); err == nil {
			t.Errorf("%s: no error, but %v", name, got)
		}
	}
}

// A frame may ask the decoder for more memory than a small machine has.
func TestStreamWithAHugeWindowIsRefused(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(256<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.Write(make([]byte, 1<<20))
	}
	w.Close()
	if _, err := readStream(out.Bytes()); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("the error is %v", err)
	}
}

func readStream(data []byte) (map[string]string, error) {
	s, err := bundle.NewStream(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	got := map[string]string{}
	for {
		file, r, err := s.Next()
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		got[file.Name] = string(content)
	}
}

// entry is a file of a stream made by hand: listed in the manifest with
// content, and sent with something else where sent or kind say so.
type entry struct {
	name, content, sent string
	kind                byte
	unlisted, skip      bool
}

func stream(t *testing.T, entries ...entry) []byte {
	t.Helper()
	m := bundle.Manifest{Format: 1, Kubernetes: "1.36.3", OS: "linux", Arch: "amd64"}
	for _, e := range entries {
		if !e.unlisted {
			m.Files = append(m.Files, bundle.File{
				Name: e.name, Size: int64(len(e.content)), SHA256: components.Sum([]byte(e.content)), Mode: 0o644,
			})
		}
	}
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	out := tarOf(t, tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg, Size: int64(len(raw))}, string(raw))
	for _, e := range entries {
		if e.skip {
			continue
		}
		sent := e.content
		if e.sent != "" {
			sent = e.sent
		}
		header := tar.Header{Name: e.name, Typeflag: tar.TypeReg, Size: int64(len(sent))}
		if e.kind != 0 {
			header.Typeflag, header.Linkname = e.kind, "/etc/passwd"
		}
		out = append(out, tarOf(t, header, sent)...)
	}
	return out
}

func tarOf(t *testing.T, header tar.Header, content string) []byte {
	t.Helper()
	var out bytes.Buffer
	zw, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(zw)
	header.Mode = 0o644
	if err := tw.WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	if _, err := tw.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := tw.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
