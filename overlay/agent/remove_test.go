package agent

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// sockets are unlinked when their listener is closed, not when it is killed.
func listenAt(t *testing.T, name string) *net.UnixListener {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	listener.SetUnlinkOnClose(false)
	t.Cleanup(func() { listener.Close() })
	return listener
}

func TestADeadDaemonsSocketIsRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wireguard")
	if removed, err := removeSocket(dir); removed != nil || err != nil {
		t.Errorf("nothing there: removed %v, %v", removed, err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "wg0.sock")
	daemon := listenAt(t, name)
	if removed, err := removeSocket(dir); removed != nil || err != nil {
		t.Errorf("a daemon lives: removed %v, %v", removed, err)
	}
	daemon.Close()
	if removed, err := removeSocket(dir); len(removed) != 1 || err != nil {
		t.Errorf("the daemon died: removed %v, %v", removed, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
}

func TestSomebodyElsesSocketStays(t *testing.T) {
	dir := t.TempDir()
	listenAt(t, filepath.Join(dir, "wg0.sock")).Close()
	listenAt(t, filepath.Join(dir, "wg1.sock"))
	if _, err := removeSocket(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "wg1.sock")); err != nil {
		t.Error(err)
	}
}
