package cli

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision/components/wire"
)

// watcher is a machine whose agent answers as it was told.
type watcher struct {
	unit   string
	before string // said at once, byte by byte
	after  string // said when stdin ends
	argv   []string
	stdin  string
}

func (w *watcher) ReadFile(_ context.Context, name string) ([]byte, error) {
	if w.unit == "" || name != "/etc/systemd/system/provision-overlay.service" {
		return nil, fs.ErrNotExist
	}
	return []byte(w.unit), nil
}

func (w *watcher) RunStream(_ context.Context, argv []string, stdin io.Reader, stdout, _ io.Writer) error {
	w.argv = argv
	for i := range w.before {
		if _, err := stdout.Write([]byte(w.before[i : i+1])); err != nil {
			return err
		}
	}
	text, err := io.ReadAll(stdin)
	if w.stdin = string(text); err != nil {
		return err
	}
	_, err = io.WriteString(stdout, w.after)
	return err
}

const overlayUnit = "[Service]\nType=notify\nExecStart=/opt/provision/agent-0123456789ab/agent overlay --config /etc/provision/overlay.json\n"

func TestSniff(t *testing.T) {
	w := &watcher{unit: overlayUnit, before: "ready\n", after: `{"links":[{"name":"eth0","packets":9,"wireguard":4,"clear":1,"missed":2}]}` + "\n"}
	open, hold := io.Pipe()
	ready := 0
	report, err := sniff(t.Context(), w, wire.Request{Marker: "ABCDEFGHIJKLMNOPQRST", Port: 51820}, func() { ready++; hold.Close() }, open)
	if err != nil || ready != 1 {
		t.Fatalf("ready %d times, %v", ready, err)
	}
	if diff := cmp.Diff(wire.Report{Links: []wire.Link{{Name: "eth0", Packets: 9, WireGuard: 4, Clear: 1, Missed: 2}}}, report); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/opt/provision/agent-0123456789ab/agent", "sniff"}, w.argv); diff != "" {
		t.Error(diff)
	}
	if want := `{"marker":"ABCDEFGHIJKLMNOPQRST","port":51820}` + "\n"; w.stdin != want {
		t.Errorf("it was told %q", w.stdin)
	}
}

func TestSniffBelievesLittle(t *testing.T) {
	for name, test := range map[string]struct {
		w    watcher
		want string
	}{
		"nothing installed":  {watcher{}, "there is no /etc/systemd/system/provision-overlay.service"},
		"another agent":      {watcher{unit: strings.Replace(overlayUnit, "/opt/provision/agent-0123456789ab", "/tmp", 1)}, "does not say which agent"},
		"not ready":          {watcher{unit: overlayUnit, after: `{"links":[]}`}, "it answers"},
		"no link":            {watcher{unit: overlayUnit, before: "ready\n", after: `{"links":[]}`}, "it looked at no link"},
		"negative":           {watcher{unit: overlayUnit, before: "ready\n", after: `{"links":[{"name":"eth0","clear":-1}]}`}, "less than no packets"},
		"torn":               {watcher{unit: overlayUnit, before: "ready\n", after: `{"links":[`}, "answer: "},
		"more than it needs": {watcher{unit: overlayUnit, before: "ready\n", after: strings.Repeat("x", maxHeard)}, io.ErrShortWrite.Error()},
	} {
		report, err := sniff(t.Context(), &test.w, wire.Request{}, func() {}, strings.NewReader(""))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v", name, report, errors.Unwrap(err))
		}
	}
}
