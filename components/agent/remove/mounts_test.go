package remove

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What somebody mounted below our folders is not ours: it is unmounted where that
// loses nothing.
func TestStrangersMountsKeepTheirData(t *testing.T) {
	w := newWorld(t)
	w.node()
	at := func(path string) string { return filepath.Join(w.root, path) }
	w.write("/opt/provision/memory/only here", "")
	w.write("/var/lib/provision/busy/here too", "")
	w.write("/var/lib/provision/void/folder/x", "")
	os.Remove(at("/var/lib/provision/void/folder/x"))
	w.points = append(w.points, at("/var/lib/provision/etcd"), at("/var/lib/provision/disk"), at("/var/lib/provision/disk/nested"),
		at("/var/lib/provision/busy"), at("/opt/provision/memory"), at("/var/lib/provision/void"))
	w.memory[at("/opt/provision/memory")], w.memory[at("/var/lib/provision/void")] = true, true
	w.busy[at("/var/lib/provision/busy")] = true
	report := w.remove()
	for _, point := range w.points {
		switch strings.TrimPrefix(point, w.root) {
		case "/home", "/var/lib/kubelet-of-another/x", "/var/lib/provision/etcd", "/opt/provision/memory":
		default:
			t.Errorf("%s is still mounted", point)
		}
	}
	if len(w.points) != 4 || len(report.Kept) != 4 || len(report.Residue) > 0 {
		t.Errorf("mounts %v\nkept %v\nresidue %v", w.points, report.Kept, report.Residue)
	}
}

func TestPathsOfMountsAreUnescaped(t *testing.T) {
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Error(strconv.Quote(got))
	}
}
