package ssh

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"provision/provisioner/ssh/sshtest"
)

// target is how to reach a test server, with its host key pinned.
func target(s *sshtest.Server) Target {
	return Target{Name: "m1", Host: s.Host, Port: s.Port, User: s.User, Keys: []string{s.KeyFile}, KeysGiven: true, HostKey: s.HostKey()}
}

// dial connects to a new server, and closes the connection with the test.
func dial(t *testing.T, options sshtest.Options) (*Client, *sshtest.Server) {
	t.Helper()
	server := sshtest.Start(t, options)
	client, err := new(Dialer).Dial(t.Context(), target(server))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, server
}

// soon is a context for what must not hang.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// wantError checks that an error says each of these things.
func wantError(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", says)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error %q does not say %q", err, part)
		}
	}
}

// noLeaks checks, after everything else of the test, that no goroutine of this
// package goes on.
func noLeaks(t *testing.T) {
	t.Cleanup(func() {
		var stacks string
		for range 100 {
			buffer := make([]byte, 1<<20)
			stacks = string(buffer[:runtime.Stack(buffer, true)])
			if !strings.Contains(stacks, "ssh.(*Client)") && !strings.Contains(stacks, "ssh.(*mux)") {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("goroutines go on after the end:\n%s", stacks)
	})
}
