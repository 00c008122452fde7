package ssh

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"provision/provisioner/ssh/sshtest"
)

// hangingAgent takes connections and never answers, as a forwarded agent does
// whose other end is gone.
func hangingAgent(t *testing.T) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	t.Setenv("SSH_AUTH_SOCK", socket)
}

func TestAnAgentThatHangs(t *testing.T) {
	server := sshtest.Start(t, sshtest.Options{})
	hangingAgent(t)
	to := target(server)
	to.Agent = true

	t.Run("with a key of its own the machine is reached", func(t *testing.T) {
		dialer := Dialer{agentWait: 100 * time.Millisecond}
		client, err := dialer.Dial(soon(t), to)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	})
	t.Run("no key but the agent's", func(t *testing.T) {
		dialer := Dialer{agentWait: 100 * time.Millisecond}
		alone := to
		alone.Keys, alone.KeysGiven = nil, false
		_, err := dialer.Dial(soon(t), alone)
		var auth *AuthError
		if !errors.As(err, &auth) {
			t.Errorf("got %v", err)
		}
		wantError(t, err, "SSH_AUTH_SOCK", "did not answer within 100ms")
	})
	t.Run("a public key is named", func(t *testing.T) {
		dialer := Dialer{agentWait: 100 * time.Millisecond}
		named := to
		named.Keys = []string{filepath.Join(t.TempDir(), "right.pub")}
		if err := os.WriteFile(named.Keys[0], ssh.MarshalAuthorizedKey(sshtest.NewKey(t).PublicKey()), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := dialer.Dial(soon(t), named)
		wantError(t, err, "right.pub", "it is a public key", "did not answer within 100ms")
	})
	t.Run("it is waited for once", func(t *testing.T) {
		dialer := Dialer{agentWait: time.Second}
		began := time.Now()
		for range 4 {
			client, err := dialer.Dial(soon(t), to)
			if err != nil {
				t.Fatal(err)
			}
			client.Close()
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("four machines took %s, and the agent is waited for 1 s", took)
		}
	})
}
