package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// image is a snapshot of so many bytes, its sum included.
func image(n int) []byte {
	var seed [32]byte
	content := make([]byte, n-sha256.Size)
	rand.NewChaCha8(seed).Read(content)
	sum := sha256.Sum256(content)
	return append(content, sum[:]...)
}

func key(t *testing.T) *age.X25519Identity {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func write(t *testing.T, snapshot []byte, to age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	contents := Contents{ID: "0123", Cluster: "site", Kubernetes: "1.36.3", Taken: time.Unix(1, 0).UTC()}
	parts := Parts{HCL: []byte("cluster {}"), Authorities: []byte(`{"files":{}}`), PresharedKey: []byte("key")}
	give := func(_ context.Context, w io.Writer) error { _, err := w.Write(snapshot); return err }
	if err := Write(context.Background(), &out, contents, parts, give, to); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	identity := key(t)
	for _, size := range []int{33, partSize, partSize + 1, 3*partSize + 100} {
		want := image(size)
		var got bytes.Buffer
		contents, parts, err := Read(bytes.NewReader(write(t, want, identity.Recipient())), &got, identity)
		if err != nil {
			t.Fatal(size, err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d bytes: the snapshot is another", size)
		}
		if contents.Cluster != "site" || contents.Format != Format || string(parts.PresharedKey) != "key" || string(parts.HCL) != "cluster {}" {
			t.Errorf("%+v %+v", contents, parts)
		}
	}
}

// Every byte that is missing or another is noticed, and named for what it is.
func TestDamage(t *testing.T) {
	identity := key(t)
	whole := write(t, image(100_000), identity.Recipient())
	read := func(file []byte) error {
		_, _, err := Read(bytes.NewReader(file), io.Discard, identity)
		return err
	}
	for cut := 0; cut < len(whole); cut += 1 + len(whole)/200 {
		if err := read(whole[:cut]); err == nil || cut > 500 && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrDamaged) {
			t.Errorf("the first %d bytes of %d: %v", cut, len(whole), err)
		}
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/200 {
		broken := bytes.Clone(whole)
		broken[at] ^= 0x10
		if err := read(broken); err == nil || at > 500 && !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of %d is another: %v", at, len(whole), err)
		}
	}
	if err := read(append(bytes.Clone(whole), 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte too many: %v", err)
	}
	if _, _, err := Read(bytes.NewReader(whole), io.Discard, key(t)); !errors.Is(err, ErrKey) {
		t.Errorf("another key: %v", err)
	}
	for _, foreign := range []string{"PK\x03\x04", strings.Repeat("x", 1000), "age-encryption.org/v2\n"} {
		if err := read([]byte(foreign)); err == nil {
			t.Errorf("%.10q was taken for a backup", foreign)
		}
	}
}

func TestASnapshotThatIsNotWholeIsNoBackup(t *testing.T) {
	give := func(_ context.Context, w io.Writer) error { _, err := w.Write(image(1000)[:900]); return err }
	err := Write(context.Background(), io.Discard, Contents{}, Parts{}, give, key(t).Recipient())
	if err == nil || !strings.Contains(err.Error(), "not whole") {
		t.Error(err)
	}
}

// seal makes a file of entries, as somebody else might.
func seal(t *testing.T, to age.Recipient, entries ...entry) []byte {
	t.Helper()
	return sealWith(t, to, "", entries...)
}

// sealWith has something follow the archive.
func sealWith(t *testing.T, to age.Recipient, more string, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, to)
	if err != nil {
		t.Fatal(err)
	}
	packed, _ := zstd.NewWriter(sealed)
	w := tar.NewWriter(packed)
	for _, e := range entries {
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.content))})
		w.Write(e.content)
	}
	follow := func() error { _, err := packed.Write([]byte(more)); return err }
	for _, step := range []func() error{w.Close, follow, packed.Close, sealed.Close} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func TestOtherPeoplesFiles(t *testing.T) {
	identity := key(t)
	to := identity.Recipient()
	var plain bytes.Buffer
	sealed, _ := age.Encrypt(&plain, to)
	sealed.Write([]byte("a letter"))
	sealed.Close()
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"a letter":       {plain.Bytes(), ErrForeign},
		"another tar":    {seal(t, to, entry{"etc/passwd", []byte("root")}), ErrForeign},
		"an older one":   {seal(t, to, entry{contentsName, []byte(`{"format":0}`)}), FormatError(0)},
		"a newer one":    {seal(t, to, entry{contentsName, []byte(`{"format":7,"cluster":{}}`)}), FormatError(7)},
		"an entry more":  {seal(t, to, entry{contentsName, []byte(`{"format":1}`)}, entry{"x", nil}), ErrDamaged},
		"without an end": {seal(t, to, entry{contentsName, []byte(`{"format":1}`)}), ErrTruncated},
	} {
		if _, _, err := Read(bytes.NewReader(c.file), io.Discard, identity); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What is sealed well may still not be what was written, or lack something.
func TestWhatIsSealedIsChecked(t *testing.T) {
	identity := key(t)
	to := identity.Recipient()
	entries := func(snapshot []byte, change func(sums map[string]string)) []entry {
		all := []entry{{contentsName, []byte(`{"format":1}`)}, {hclName, []byte("x")}, {authoritiesName, []byte("x")}, {partName(0), snapshot}}
		sums := map[string]string{}
		for _, e := range all {
			sum := sha256.Sum256(e.content)
			sums[e.name] = hex.EncodeToString(sum[:])
		}
		change(sums)
		text, err := json.Marshal(sums)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, entry{sumsName, text})
	}
	right := func(map[string]string) {}
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"all is right":               {seal(t, to, entries(image(100), right)...), nil},
		"another sum":                {seal(t, to, entries(image(100), func(s map[string]string) { s[hclName] = strings.Repeat("0", 64) })...), ErrDamaged},
		"a sum of nothing":           {seal(t, to, entries(image(100), func(s map[string]string) { s["more"] = "" })...), ErrDamaged},
		"half a snapshot":            {seal(t, to, entries(image(100)[:60], right)...), ErrDamaged},
		"something behind the sums":  {seal(t, to, append(entries(image(100), right), entry{"more", nil})...), ErrDamaged},
		"something behind the whole": {sealWith(t, to, "more", entries(image(100), right)...), ErrDamaged},
	} {
		if _, _, err := Read(bytes.NewReader(c.file), io.Discard, identity); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
