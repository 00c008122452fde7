package probe

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListenersAreFoundWithTheirProcess(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	command := NewCommand()
	var out bytes.Buffer
	command.SetArgs(nil)
	command.SetOut(&out)
	if err := command.Execute(); err != nil {
		t.Fatal(err)
	}
	var got Result
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	comm, _ := os.ReadFile("/proc/self/comm")
	name := strings.TrimSpace(string(comm))
	for _, want := range []Listener{{"tcp", tcp.Addr().String(), name}, {"udp", udp.LocalAddr().String(), name}} {
		if !slices.Contains(got.Listening, want) {
			t.Errorf("no %+v in %+v", want, got.Listening)
		}
	}
	if slices.ContainsFunc(got.Listening, func(l Listener) bool { return l.Addr == client.LocalAddr().String() }) {
		t.Error("a connection passes for a listener")
	}
	if got.BootID == "" || got.Uptime <= 0 || got.Cgroup != 1 && got.Cgroup != 2 {
		t.Errorf("%+v", got)
	}
	for feature, works := range map[string]bool{"wireguard": got.WireGuard, "tun": got.TUN, "nf_tables": got.NFTables, "lower_oom": got.LowerOOM} {
		if (got.Problems[feature] == "") != works {
			t.Errorf("%s: works %v, problem %q", feature, works, got.Problems[feature])
		}
	}
}

func TestTablesOfSockets(t *testing.T) {
	proc := t.TempDir()
	table := func(name string, lines ...string) {
		path := filepath.Join(proc, "net", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		head := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		if err := os.WriteFile(path, []byte(head+strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	table("tcp",
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1",
		"   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 112 1")
	table("tcp6", "   0: 00000000000000000000000000000000:192B 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 113 1")
	table("udp6", "   0: 000080FE00000000FF005450B6BDF1FE:CA6C 00000000000000000000000000000000:0000 07 0:0 0:0 0 0 0 114 1")
	fd := filepath.Join(proc, "42", "fd")
	if err := os.MkdirAll(fd, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("socket:[113]", filepath.Join(fd, "3")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(proc, "42", "comm"), []byte("apiserver\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := listeners(proc)
	if err != nil {
		t.Fatal(err)
	}
	want := []Listener{
		{"tcp", "127.0.0.1:8080", ""},
		{"tcp", "[::]:6443", "apiserver"},
		{"udp", "[fe80::5054:ff:fef1:bdb6]:51820", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	table("tcp", "   0: 0100:1F90 00000000:0000 0A 0:0 0:0 0 0 0 111 1")
	if _, err := listeners(proc); err == nil {
		t.Error("half an address is accepted")
	}
}
