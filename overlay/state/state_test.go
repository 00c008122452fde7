package state

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"provision/overlay"
)

func open(t *testing.T) Dir {
	t.Helper()
	d, err := Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mode(t *testing.T, name string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestKeyIsBornOnce(t *testing.T) {
	d := open(t)
	keys := make([]overlay.PrivateKey, 8)
	var wait sync.WaitGroup
	for i := range keys {
		wait.Go(func() {
			var err error
			if keys[i], err = d.Key(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, k := range keys {
		if k != keys[0] || k == (overlay.PrivateKey{}) {
			t.Error("two that ask at once get two keys")
		}
	}
	if got := mode(t, d.path("private.key")); got != 0o600 {
		t.Errorf("the key's mode is %v", got)
	}
	if got := mode(t, string(d)); got != 0o700 {
		t.Errorf("the folder's mode is %v", got)
	}
	if list, _ := os.ReadDir(string(d)); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestKeyThatCannotBeReadIsNotReplaced(t *testing.T) {
	d := open(t)
	for _, text := range []string{"", "half a k", strings.Repeat("A", 44)} {
		if err := os.WriteFile(d.path("private.key"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Key(); err == nil {
			t.Errorf("%q is taken for a key", text)
		} else if text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("the error tells the file's content: %v", err)
		}
		if now, _ := os.ReadFile(d.path("private.key")); string(now) != text {
			t.Errorf("%q was overwritten", text)
		}
	}
}

func TestMeshIsKept(t *testing.T) {
	d := open(t)
	if m, err := d.LoadMesh(); err != nil || len(m.Peers) != 0 {
		t.Errorf("nothing kept: %+v, %v", m, err)
	}
	m := overlay.Mesh{Version: overlay.MeshVersion, UID: "u", Peers: []overlay.Peer{{UID: "v", Name: "w2", Key: overlay.Key{1}}}}
	if err := d.SaveMesh(m); err != nil {
		t.Fatal(err)
	}
	got, err := d.LoadMesh()
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "{", `{"version":99}`} {
		if err := os.WriteFile(d.path("mesh.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := d.LoadMesh(); err == nil {
			t.Errorf("%q is taken for a mesh", text)
		}
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := WriteFile(name, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(name, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.Stat(name); !os.SameFile(first, second) {
		t.Error("the same content was written again")
	}
	if err := WriteFile(name, []byte("two"), 0o644); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(name); string(data) != "two" || mode(t, name) != 0o644 {
		t.Errorf("%q, %v", data, mode(t, name))
	}
}

// A key is prepared once, and takes the present one's place as a whole.
func TestRotation(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	old, err := d.Key()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := d.NextKey(); ok || err != nil {
		t.Errorf("a next key before any was made: %v", err)
	}
	if err := d.PromoteKey(); err == nil {
		t.Error("promoted nothing")
	}
	next, err := d.PrepareKey()
	if err != nil || next == old {
		t.Fatalf("%v", err)
	}
	if again, err := d.PrepareKey(); again != next || err != nil {
		t.Errorf("prepared twice, two keys: %v", err)
	}
	if err := d.PromoteKey(); err != nil {
		t.Fatal(err)
	}
	if key, err := d.Key(); key != next || err != nil {
		t.Errorf("the next key did not take over: %v", err)
	}
	if _, ok, _ := d.NextKey(); ok {
		t.Error("the next key is still there")
	}
	os.WriteFile(d.path("next.key"), []byte("nonsense\n"), 0o600)
	if _, _, err := d.NextKey(); err == nil {
		t.Error("read nonsense as a key")
	}
}
