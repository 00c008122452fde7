package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"provision/components"
	"provision/components/agent/unpack"
	"provision/components/bundle"
	"provision/components/bundle/bundletest"
	"provision/components/handover"
)

// files do not become smaller by much.
var files = map[string]string{"bin/agent": noise(5000), "bin/node": noise(20000), "images/pause.tar": "pause"}

func noise(size int) string {
	text := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(size)}).Read(text)
	return string(text)
}

// given unpacks a bundle below a folder of its own and gives it on loopback, as
// pack changes it; the source is for a taker.
func given(t *testing.T, without []string, wrap func(io.Writer) io.Writer) (source handover.Source, id string) {
	t.Helper()
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.36.3", files)
	if _, err := unpack.Unpack(t.Context(), bytes.NewReader(data), root, id); err != nil {
		t.Fatal(err)
	}
	folder, err := open(root, id)
	if err != nil {
		t.Fatal(err)
	}
	source = offered(t, wrapped{folder, wrap}, without)
	source.Manifest = folder.raw
	return source, id
}

type wrapped struct {
	*unpacked
	wrap func(io.Writer) io.Writer
}

func (w wrapped) pack(to io.Writer, offer handover.Offer) error {
	if w.wrap != nil {
		to = w.wrap(to)
	}
	return w.unpacked.pack(to, offer)
}

// offered gives something on loopback for as long as the test goes on.
func offered(t *testing.T, what parcel, without []string) handover.Source {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	source := handover.Source{Token: handover.NewToken(), Have: without}
	line, err := json.Marshal(handover.Offer{Token: source.Token, Without: without})
	if err != nil {
		t.Fatal(err)
	}
	open, hold := io.Pipe()
	said, say := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer what.Close()
		give(context.Background(), listener, what, io.MultiReader(bytes.NewReader(append(line, '\n')), open), say)
	}()
	t.Cleanup(func() { hold.Close(); <-ended })
	var place handover.Place
	if err := json.NewDecoder(said).Decode(&place); err != nil {
		t.Fatal(err)
	}
	source.At = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), place.Port)
	return source
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestABundleIsHandedOver(t *testing.T) {
	source, id := given(t, nil, nil)
	root := t.TempDir()
	report, err := unpack.Take(t.Context(), root, id, source)
	if err != nil || !report.Unpacked || report.Received == 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	for name, content := range files {
		if read(t, root, id, name) != content {
			t.Errorf("%s is another", name)
		}
	}
}

// What the taker has is not given.
func TestWhatIsThereIsNotHandedOver(t *testing.T) {
	root := t.TempDir()
	data, old := bundletest.Make(t, "1.35.4", map[string]string{"bin/agent": files["bin/agent"], "bin/node": files["bin/node"]})
	if _, err := unpack.Unpack(t.Context(), bytes.NewReader(data), root, old); err != nil {
		t.Fatal(err)
	}
	source, id := given(t, []string{components.Sum([]byte(files["bin/agent"])), components.Sum([]byte(files["bin/node"]))}, nil)
	report, err := unpack.Take(t.Context(), root, id, source)
	if err != nil || !report.Unpacked || read(t, root, id, "bin/node") != files["bin/node"] {
		t.Errorf("%+v, %v", report, err)
	}
	if report.Received > int64(len(files["bin/node"])) {
		t.Errorf("%d bytes came", report.Received)
	}
}

// torn ends after so many bytes, as a giver does whose power is gone.
type torn struct {
	io.Writer
	left int
}

func (w *torn) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return w.Writer.Write(p)
}

// A giver that dies in the middle leaves what it gave, and the operator sends the rest.
func TestTheRestComesFromTheOperator(t *testing.T) {
	// The manifest and the first files, in a frame of their own, and then nothing.
	cut := func(to io.Writer) io.Writer { return &torn{Writer: to, left: 0} }
	source, id := given(t, nil, cut)
	root := t.TempDir()
	report, err := unpack.Take(t.Context(), root, id, source)
	if err != nil || report.Unpacked || report.Problem == "" || len(report.Have) != 0 {
		t.Fatalf("from one that gave nothing: %+v, %v", report, err)
	}

	data, _ := bundletest.Make(t, "1.36.3", files)
	half := parts{bundletest.Only(t, data, "bin/agent"), 2}
	source = offered(t, half, nil)
	source.Manifest = manifest(t, data)
	report, err = unpack.Take(t.Context(), root, id, source)
	if err != nil || report.Unpacked || len(report.Have) != 1 || report.Have[0] != components.Sum([]byte(files["bin/agent"])) {
		t.Fatalf("from one that died: %+v, %v", report, err)
	}
	result, err := unpack.Unpack(t.Context(), bytes.NewReader(bundletest.Only(t, data, "bin/node", "images/pause.tar")), root, id)
	if err != nil || result.Written != 2 || result.Linked != 1 || read(t, root, id, "bin/agent") != files["bin/agent"] {
		t.Errorf("%+v, %v", result, err)
	}
}

// parts is the beginning of a stream, but for its last bytes.
type parts struct {
	stream []byte
	less   int
}

func (p parts) pack(w io.Writer, _ handover.Offer) error {
	_, err := w.Write(p.stream[:len(p.stream)-p.less])
	return err
}

func (parts) Close() error { return nil }

func manifest(t *testing.T, data []byte) []byte {
	t.Helper()
	s, err := bundle.NewStream(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, raw := s.Manifest()
	return raw
}

// A giver that lies is caught by the sums, and one with another manifest at once.
func TestALieIsNoBundle(t *testing.T) {
	data, id := bundletest.Make(t, "1.36.3", files)
	other, _ := bundletest.Make(t, "1.36.3", map[string]string{
		"bin/agent": files["bin/agent"], "bin/node": noise(20001)[1:], "images/pause.tar": "pause",
	})
	lie := append(bytes.Clone(bundletest.Only(t, data)[:len(bundletest.Only(t, data))-len(end(t))]), bundletest.Only(t, other, "bin/agent", "bin/node")[len(bundletest.Only(t, other))-len(end(t)):]...)
	for name, stream := range map[string][]byte{"another manifest": other, "another file": lie, "no bundle": []byte("HTTP/1.1 200 OK\r\n\r\n")} {
		root := t.TempDir()
		source := offered(t, parts{stream, 0}, nil)
		source.Manifest = manifest(t, data)
		report, err := unpack.Take(t.Context(), root, id, source)
		if err != nil || report.Unpacked || report.Problem == "" {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
		if name == "another file" && (len(report.Have) != 1 || !strings.Contains(report.Problem, "bin/node: the content is not what the manifest says")) {
			t.Errorf("%s: %+v", name, report)
		}
		if _, err := os.Stat(filepath.Join(root, id)); err == nil {
			t.Errorf("%s: a bundle is there", name)
		}
	}
}

func end(t *testing.T) []byte {
	t.Helper()
	frame, err := bundle.EndFrame()
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestAnotherBundleIsNotGiven(t *testing.T) {
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.36.3", files)
	if _, err := unpack.Unpack(t.Context(), bytes.NewReader(data), root, id); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, id), filepath.Join(root, "1.36.3-000000000000")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(root, "1.36.3-000000000000"); err == nil {
		t.Error("it is given under another name")
	}
}

// The manifest that the operator tells must be the bundle's own.
func TestAManifestOfAnotherID(t *testing.T) {
	source, _ := given(t, nil, nil)
	if _, err := unpack.Take(t.Context(), t.TempDir(), "1.36.3-000000000000", source); err == nil {
		t.Error("no error")
	}
}
