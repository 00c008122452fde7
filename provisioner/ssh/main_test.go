package ssh

import (
	"io"
	"os"
	"testing"

	"github.com/pkg/sftp"
)

// TestMain lets the test's binary play the agent's `sftp` command, which a
// machine runs by sudo.
func TestMain(m *testing.M) {
	if os.Getenv("PLAY_AGENT") == "" {
		os.Exit(m.Run())
	}
	server, err := sftp.NewServer(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	if err != nil || len(os.Args) != 2 || os.Args[1] != "sftp" {
		os.Exit(64)
	}
	server.Serve()
}
