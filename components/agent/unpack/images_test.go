package unpack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"provision/components/bundle/bundletest"
)

// ctr behaves as containerd's client does, with a folder beside the socket for
// the store: an imported image is adopted at the next look but one.
const ctr = `#!/bin/sh
set -eu
[ "$1 $3 $4 $5" = "--address --namespace k8s.io images" ] || { echo "unexpected: $*" >&2; exit 1; }
store=$2.store
shift 5
case $1 in
list)
	[ "$2" = --quiet ] || exit 1
	for image in "$store"/*; do
		[ -e "$image" ] || continue
		if [ -s "$image" ]; then echo "provision.internal/$(basename "$image")"; else echo seen >"$image"; fi
	done ;;
import)
	[ "$2 $3" = "--label io.cri-containerd.pinned=pinned" ] || exit 1
	echo "import $4" >>"$store.log"
	if grep -q broken "$4"; then printf 'some text\nctr: content is broken\n' >&2; exit 1; fi
	: >"$store/$(basename "$4" .tar):1" ;;
esac
`

func TestImport(t *testing.T) {
	i := importer(t, map[string]string{"images/pause.tar": "one", "images/probe.tar": "two"})
	if n, err := i.Import(t.Context()); n != 2 || err != nil {
		t.Errorf("%d, %v; want 2 imported", n, err)
	}
	if n, err := i.Import(t.Context()); n != 0 || err != nil {
		t.Errorf("the second time: %d, %v; want 0 imported", n, err)
	}
	log, _ := os.ReadFile(i.Address + ".store.log")
	if got := strings.Count(string(log), "import"); got != 2 {
		t.Errorf("%d imports:\n%s", got, log)
	}
}

func TestImportWaitsForContainerd(t *testing.T) {
	i := importer(t, map[string]string{"images/pause.tar": "one"})
	moved := i.Address + ".later"
	if err := os.Rename(i.Address, moved); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(100 * time.Millisecond)
		os.Rename(moved, i.Address)
	}()
	if n, err := i.Import(t.Context()); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestImportDoesNotWaitForEver(t *testing.T) {
	i := importer(t, map[string]string{"images/pause.tar": "one"})
	os.Remove(i.Address)
	ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	_, err := i.Import(ctx)
	if err == nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "containerd at "+i.Address) {
		t.Errorf("the error is %v", err)
	}
}

func TestImportSaysWhichImage(t *testing.T) {
	i := importer(t, map[string]string{"images/pause.tar": "broken", "images/probe.tar": "fine"})
	_, err := i.Import(t.Context())
	want := "image provision.internal/pause:1: ctr images import: exit status 1: ctr: content is broken"
	if err == nil || err.Error() != want {
		t.Errorf("the error is %v and not %s", err, want)
	}
}

func TestImportOfNoBundle(t *testing.T) {
	if _, err := (Importer{Dir: t.TempDir(), Address: "none"}).Import(t.Context()); err == nil {
		t.Error("no error")
	}
}

// importer unpacks a bundle with these images and the ctr above, and makes
// what stands for containerd's socket.
func importer(t *testing.T, images map[string]string) Importer {
	t.Helper()
	files := map[string]string{"bin/ctr": ctr}
	for name, content := range images {
		files[name] = content
	}
	root := t.TempDir()
	data, id := bundletest.Make(t, "1.36.3", files)
	mustUnpack(t, root, data, id)
	address := filepath.Join(root, "sock")
	if err := errors.Join(os.WriteFile(address, nil, 0o600), os.Mkdir(address+".store", 0o700)); err != nil {
		t.Fatal(err)
	}
	return Importer{Dir: filepath.Join(root, id), Address: address}
}
