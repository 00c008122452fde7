package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"provision/provisioner/ssh/sshtest"
)

// knownHosts writes a known_hosts file and returns a target that relies on it.
func knownHosts(t *testing.T, s *sshtest.Server, lines ...string) (Target, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ssh", "known_hosts")
	if len(lines) > 0 {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to := target(s)
	to.HostKey, to.KnownHosts = "", []string{name}
	return to, name
}

func line(s *sshtest.Server, key ssh.PublicKey) string {
	return knownhosts.Line([]string{s.Address()}, key)
}

func tryDial(t *testing.T, to Target) error {
	t.Helper()
	client, err := new(Dialer).Dial(soon(t), to)
	if err == nil {
		client.Close()
	}
	return err
}

func TestHostKeys(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	right := sshtest.NewKey(t)
	server.SetHostKey(right)
	other := sshtest.NewKey(t).PublicKey()

	t.Run("known", func(t *testing.T) {
		to, _ := knownHosts(t, server, line(server, right.PublicKey()))
		if err := tryDial(t, to); err != nil {
			t.Error(err)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		to, name := knownHosts(t, server)
		err := tryDial(t, to)
		var hostKey *HostKeyError
		if !errors.As(err, &hostKey) {
			t.Fatalf("got %v", err)
		}
		wantError(t, err, "unknown", ssh.FingerprintSHA256(right.PublicKey()), server.HostKey(), "accept_new")
		if _, err := os.Stat(name); err == nil {
			t.Error("the key was written down unasked")
		}
	})
	t.Run("accepted when new", func(t *testing.T) {
		to, name := knownHosts(t, server, "# a comment without a line's end")
		to.AcceptNew = true
		if err := tryDial(t, to); err != nil {
			t.Fatal(err)
		}
		to.AcceptNew = false
		if err := tryDial(t, to); err != nil {
			data, _ := os.ReadFile(name)
			t.Errorf("the second time: %v; known_hosts:\n%s", err, data)
		}
	})
	t.Run("changed", func(t *testing.T) {
		to, name := knownHosts(t, server, "", line(server, other))
		to.AcceptNew = true
		err := tryDial(t, to)
		var hostKey *HostKeyError
		if !errors.As(err, &hostKey) {
			t.Fatalf("got %v", err)
		}
		wantError(t, err, "has changed", name+":2", ssh.FingerprintSHA256(other), ssh.FingerprintSHA256(right.PublicKey()))
	})
	t.Run("revoked", func(t *testing.T) {
		to, _ := knownHosts(t, server, "@revoked "+line(server, right.PublicKey()))
		wantError(t, tryDial(t, to), "revoked")
	})
	t.Run("pinned to another", func(t *testing.T) {
		to := target(server)
		to.HostKey = string(ssh.MarshalAuthorizedKey(other))
		err := tryDial(t, to)
		wantError(t, err, "has changed", "ssh.host_key")
	})
	t.Run("pinned to another type", func(t *testing.T) {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.NewPublicKey(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		to := target(server)
		to.HostKey = string(ssh.MarshalAuthorizedKey(key))
		wantError(t, tryDial(t, to), "has changed", "no longer has one of the type known")
	})
	t.Run("pinned to nonsense", func(t *testing.T) {
		to := target(server)
		to.HostKey = "ssh-ed25519 nonsense"
		before := server.Stats().Connections
		wantError(t, tryDial(t, to), "the host key given for "+server.Address())
		if server.Stats().Connections != before {
			t.Error("the machine was called")
		}
	})
}

// A wrong host key is never tried again, and no key of ours is shown to it.
func TestWrongHostKeyIsNotRetried(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	to := target(server)
	server.SetHostKey(sshtest.NewKey(t))
	wantError(t, tryDial(t, to), "has changed")
	if stats := server.Stats(); stats.Connections != 1 || stats.KeysOffered != 0 {
		t.Errorf("%d connections, %d keys offered; want 1 and none", stats.Connections, stats.KeysOffered)
	}
}

func TestRefusedKeyIsNotRetried(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	server.Allow()
	err := tryDial(t, target(server))
	var auth *AuthError
	if !errors.As(err, &auth) {
		t.Fatalf("got %v", err)
	}
	wantError(t, err, "does not let root in", "id_ed25519", "authorized_keys")
	if stats := server.Stats(); stats.Connections != 1 {
		t.Errorf("%d connections, want 1", stats.Connections)
	}
}

func TestNoKeyAtAll(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	to := target(server)
	to.Keys, to.KeysGiven = nil, false
	wantError(t, tryDial(t, to), "there is none to offer", "ssh { key = ... }")
}

// A machine that boots refuses at first.
func TestBootingMachineIsTriedAgain(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	server.RefuseNext(3)
	if err := tryDial(t, target(server)); err != nil {
		t.Error(err)
	}
}

func TestPatienceEnds(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	dialer := Dialer{Patience: time.Second}
	began := time.Now()
	_, err = dialer.Dial(soon(t), Target{Host: "127.0.0.1", Port: port})
	wantError(t, err, "connection refused")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("gave up after %s, patience is 1s", took)
	}
}

// A server that takes the connection and says nothing does not outlive ctx.
func TestSilentServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = new(Dialer).Dial(ctx, Target{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, HostKey: string(ssh.MarshalAuthorizedKey(sshtest.NewKey(t).PublicKey()))})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// startAgent serves these keys as an ssh-agent.
func startAgent(t *testing.T, keys ...sshtest.Key) {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		raw := key.Raw()
		if err := ring.Add(agent.AddedKey{PrivateKey: &raw}); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(ring, conn)
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", socket)
}

// An agent with more keys than a server allows tries: the key that the file
// names is offered first and alone, the public half of it is enough.
func TestAgentWithManyKeys(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	keys := make([]sshtest.Key, 10)
	for i := range keys {
		keys[i] = sshtest.NewKey(t)
	}
	right := keys[9]
	startAgent(t, keys...)
	server.Allow(right.PublicKey())
	to := target(server)
	to.Agent = true

	to.Keys, to.KeysGiven = nil, false
	err := tryDial(t, to)
	wantError(t, err, "does not let root in", "5 more", ".pub")

	public := filepath.Join(t.TempDir(), "right.pub")
	if err := os.WriteFile(public, ssh.MarshalAuthorizedKey(right.PublicKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	to.Keys, to.KeysGiven = []string{public}, true
	before := server.Stats().KeysOffered
	if err := tryDial(t, to); err != nil {
		t.Fatal(err)
	}
	if offered := server.Stats().KeysOffered - before; offered > 2 { // asked about, then signed with
		t.Errorf("%d keys were offered, want the right one only", offered)
	}
}

func TestLockedKey(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	key := sshtest.NewKey(t)
	server.Allow(key.PublicKey())
	name := filepath.Join(t.TempDir(), "locked")
	if err := os.WriteFile(name, key.Private(t, "sesame"), 0o600); err != nil {
		t.Fatal(err)
	}
	to := target(server)
	to.Keys = []string{name}

	t.Run("nobody to ask", func(t *testing.T) { wantError(t, tryDial(t, to), name, "passphrase") })
	t.Run("asked once, after a slip", func(t *testing.T) {
		asked := 0
		answers := []string{"wrong", "sesame"}
		dialer := Dialer{Passphrase: func(context.Context, string) ([]byte, error) {
			asked++
			return []byte(answers[asked-1]), nil
		}}
		for range 3 {
			client, err := dialer.Dial(soon(t), to)
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
		}
		if asked != 2 {
			t.Errorf("asked %d times, want 2", asked)
		}
	})
	t.Run("wrong", func(t *testing.T) {
		dialer := Dialer{Passphrase: func(context.Context, string) ([]byte, error) { return []byte("wrong"), nil }}
		before := server.Stats().Connections
		_, err := dialer.Dial(soon(t), to)
		wantError(t, err, "passphrase is wrong")
		if n := server.Stats().Connections - before; n > 1 {
			t.Errorf("%d connections, want 1 at most", n)
		}
	})
	t.Run("held by the agent", func(t *testing.T) {
		startAgent(t, key)
		held := to
		held.Agent = true
		if err := tryDial(t, held); err != nil {
			t.Error(err)
		}
	})
}

func TestUnreadableKeyFile(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	to := target(server)
	to.Keys = []string{"/nowhere/key"}
	wantError(t, tryDial(t, to), "key /nowhere/key", "no such file")
	if n := server.Stats().Connections; n != 0 {
		t.Errorf("%d connections for nothing", n)
	}
}

// A banner that says that the machine boots makes a refusal temporary.
func TestRefusedWhileBooting(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{Banner: "System is booting up. Unprivileged users are not permitted to log in yet."})
	server.Allow()
	dialer := Dialer{Patience: time.Second}
	_, err := dialer.Dial(soon(t), target(server))
	wantError(t, err, "still booting")
	if n := server.Stats().Connections; n < 2 {
		t.Errorf("%d connections, want more than one", n)
	}
}
