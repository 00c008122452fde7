// Package sshtest is an SSH server for tests, in the test's own process: a real
// handshake with real keys on loopback, commands by the real sh or by a
// function, SFTP over the real file system, forwarding. It misbehaves as asked:
// refuses, changes its host key, goes silent, dies.
//
// It is the floor between a machine made of memory (componentstest) and a
// machine that boots (the lab).
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Options say what a server is like. The zero value is a machine in order.
type Options struct {
	// Exec carries out a command line and returns its exit status. nil: sh
	// does, with Env added to the test's environment.
	Exec func(c *Command) int
	Env  []string

	// SFTP serves the sftp subsystem on a session's stream. nil: over the real file system.
	SFTP func(stream io.ReadWriteCloser)
	// Dial is where forwarded connections lead. nil: where they ask to.
	Dial func(address string) (net.Conn, error)
	// Accepted is given each connection before anything is read of it. nil: it is taken as it is.
	Accepted func(net.Conn) net.Conn

	MaxAuthTries int  // 0: 6, as sshd has it
	MaxSessions  int  // sessions at once on one connection; 0: 10, as sshd has it
	NoSFTP       bool // there is no such subsystem
	NoForward    bool
	Banner       string
}

// Server is one running server. Its address is a port of its own on loopback.
type Server struct {
	Host    string
	Port    int
	User    string // the one who may log in
	KeyFile string // the private key to do so with

	options  Options
	listener net.Listener

	mu       sync.Mutex
	hostKey  ssh.Signer
	allowed  []ssh.PublicKey
	refusing int // connections to drop before the handshake
	open     map[*connection]bool
	stats    Stats
	live     sync.WaitGroup
}

// Stats is what a server has seen so far.
type Stats struct {
	Connections int // TCP connections
	Logins      int // of those that were let in
	KeysOffered int // in all logins
	Sessions    int // the most that were open at once on one connection
	Lines       []string
	Windows     [][2]int // columns and rows that a client told
	Forwarded   []string // addresses
}

// Start starts a server that ends with the test.
func Start(t testing.TB, options Options) *Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: "root",
		options: options, listener: listener, open: map[*connection]bool{}, hostKey: NewKey(t),
	}
	client := NewKey(t)
	s.KeyFile = WriteKey(t, client)
	s.allowed = []ssh.PublicKey{client.PublicKey()}
	s.live.Go(s.accept)
	t.Cleanup(func() {
		listener.Close()
		s.Drop()
		s.live.Wait()
	})
	return s
}

// Key is a key pair that can be written to a file.
type Key struct {
	ssh.Signer
	private ed25519.PrivateKey
}

// NewKey makes an ed25519 key.
func NewKey(t testing.TB) Key {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return Key{signer, private}
}

// Private returns the key in OpenSSH's format; with a passphrase, locked by it.
func (k Key) Private(t testing.TB, passphrase string) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(k.private, "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k.private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block)
}

// Raw is the private key as an agent takes it.
func (k Key) Raw() ed25519.PrivateKey { return k.private }

// WriteKey writes a key to a file of its own and returns its path.
func WriteKey(t testing.TB, key Key) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(name, key.Private(t, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Address is host:port.
func (s *Server) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// HostKey is the server's public key as authorized_keys and host_key have it.
func (s *Server) HostKey() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.hostKey.PublicKey())))
}

// SetHostKey changes the host key, for connections to come.
func (s *Server) SetHostKey(key ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hostKey = key
}

// Allow makes these keys, and only these, the ones that are let in.
func (s *Server) Allow(keys ...ssh.PublicKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed = keys
}

// RefuseNext drops that many connections to come before the handshake, as a
// machine does that is just booting.
func (s *Server) RefuseNext(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing = n
}

// Drop closes every open connection, in the middle of whatever it does.
func (s *Server) Drop() {
	for _, c := range s.connections() {
		c.conn.Close()
	}
}

// Freeze stops every open connection without closing it, as when the machine's
// power is gone: what is sent to it is lost, nothing comes back.
func (s *Server) Freeze() {
	for _, c := range s.connections() {
		c.conn.freeze()
	}
}

// Stats returns what the server has seen so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Lines = append([]string(nil), s.stats.Lines...)
	stats.Windows = append([][2]int(nil), s.stats.Windows...)
	stats.Forwarded = append([]string(nil), s.stats.Forwarded...)
	return stats
}

func (s *Server) connections() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var open []*connection
	for c := range s.open {
		open = append(open, c)
	}
	return open
}

func (s *Server) note(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}
