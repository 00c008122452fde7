package cli

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// full is a standard output that takes nothing, as /dev/full.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestExitStatus(t *testing.T) {
	example := "../../examples/bare-metal.hcl"
	for _, c := range []struct {
		args   string
		stdout io.Writer
		want   int
	}{
		{"version x", io.Discard, exitMisuse},
		{"nonsense", io.Discard, exitMisuse},
		{"plan", io.Discard, exitMisuse},
		{"plan --no-such-flag f", io.Discard, exitMisuse},
		{"plan f --var x", io.Discard, exitMisuse},
		{"kubectl f get nodes", io.Discard, exitMisuse},
		{"kubectl -n kube-system f -- get pods", io.Discard, exitMisuse},
		{"ssh f w1 uptime", io.Discard, exitMisuse},
		{"verify f --failover comet", io.Discard, exitMisuse},
		{"validate no-such-file.hcl", io.Discard, exitFailed},
		{"validate " + example, io.Discard, exitDone},
		{"validate " + example, full{}, exitFailed},
		{"init", full{}, exitFailed},
		{"version", full{}, exitFailed},
	} {
		var stderr bytes.Buffer
		if got := Main(t.Context(), strings.Fields(c.args), strings.NewReader(""), c.stdout, &stderr); got != c.want {
			t.Errorf("provision %s: exit status %d, want %d: %s", c.args, got, c.want, &stderr)
		}
	}
}

// TestHelpCanBeCopied looks for what a raw string does not need.
func TestHelpCanBeCopied(t *testing.T) {
	var look func(*cobra.Command)
	look = func(command *cobra.Command) {
		if strings.Contains(command.Long, `\\`) {
			t.Errorf("%s: two backslashes in its help", command.Name())
		}
		for _, child := range command.Commands() {
			look(child)
		}
	}
	look((&app{}).root())
}
