package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "one/bundle-1.9.0-linux-amd64.tar.zst")
	touch(t, dir, "one/bundle-1.36.3-linux-amd64.tar.zst")
	touch(t, dir, "one/bundle-1.36.3-linux-arm64.tar.zst")
	touch(t, dir, "one/bundle-1.36.3-rc.1-linux-amd64.tar.zst")
	touch(t, dir, "one/bundle-1.35.12-linux-amd64.tar.zst.tmp")
	touch(t, dir, "one/.tmp-1234")
	touch(t, dir, "two/bundle-1.37.0-linux-amd64.tar.zst")
	touch(t, dir, "arm/bundle-1.36.3-linux-arm64.tar.zst")
	for _, test := range []struct {
		dirs, version, want string
	}{
		{"one", "", "one/bundle-1.36.3-linux-amd64.tar.zst"},
		{"one", "1.9.0", "one/bundle-1.9.0-linux-amd64.tar.zst"},
		{"one", "1.36.3-rc.1", "one/bundle-1.36.3-rc.1-linux-amd64.tar.zst"},
		{"none one two", "", "one/bundle-1.36.3-linux-amd64.tar.zst"},
		{"one two", "1.37.0", "two/bundle-1.37.0-linux-amd64.tar.zst"},
		{"arm", "", "arm/bundle-1.36.3-linux-arm64.tar.zst"},
	} {
		got, err := Find(within(dir, test.dirs), test.version)
		if err != nil || got != filepath.Join(dir, test.want) {
			t.Errorf("in %s, version %q: %s, %v; want %s", test.dirs, test.version, got, err, test.want)
		}
	}
}

func TestFindSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	touch(t, dir, "one/bundle-1.36.3-linux-amd64.tar.zst")
	_, err := Find(within(dir, "one none none"), "1.35.4")
	var missing *NotFoundError
	if !errors.As(err, &missing) {
		t.Fatalf("the error is %v", err)
	}
	want := "no bundle of Kubernetes 1.35.4 in " + filepath.Join(dir, "one") + ", " + filepath.Join(dir, "none") +
		" (there: 1.36.3): build one with `make bundle KUBERNETES=1.35.4`, or name its folder with --bundles or PROVISION_BUNDLES"
	if err.Error() != want {
		t.Errorf("it says\n%s\nand not\n%s", err, want)
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := strings.Fields("1.9.0 1.35.4 1.35.12 1.36.0-alpha.2 1.36.0-alpha.10 1.36.0-beta.0 1.36.0-rc.1 1.36.0 2.0.0")
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareVersions(a, b)
			if want := min(1, max(-1, i-j)); got != want {
				t.Errorf("compareVersions(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func touch(t *testing.T, dir, name string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

func within(dir, names string) []string {
	var dirs []string
	for _, name := range strings.Fields(names) {
		dirs = append(dirs, filepath.Join(dir, name))
	}
	return dirs
}
