package cli

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"provision/components/bundle/bundletest"
	"provision/provisioner/ssh/sshtest"
)

var update = flag.Bool("update", false, "rewrite what testdata/script/*.txtar compare with")

// The scripts run this test binary as `provision`.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"provision": func() {
		os.Exit(Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}})
}

// The commands as people meet them: each script says what is typed, and what
// stdout, stderr and the exit status are then. It runs in a folder of its own
// with a bundle of Kubernetes 1.36.3 and, at SSH_PORT on loopback, a machine
// that lets SSH_KEY in and shows SSH_HOST_KEY. `exits N command...` wants that
// exit status. `go test -update` rewrites what `cmp` compares with.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			data, id := bundletest.Make(t, "1.36.3", map[string]string{
				"bin/agent": "agent", "bin/node": "node", "images/coredns.tar": "", "images/metrics-server.tar": "",
				"images/local-path-provisioner.tar": "", "images/volume.tar": "",
			})
			dir := filepath.Join(env.WorkDir, "bundles")
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, "bundle-1.36.3-linux-amd64.tar.zst"), data, 0o644); err != nil {
				return err
			}
			server := machine(t)
			for name, value := range map[string]string{
				"EXAMPLES": examples, "PROVISION_BUNDLES": dir, "BUNDLE": id,
				"SSH_PORT": strconv.Itoa(server.Port), "SSH_KEY": server.KeyFile,
				"SSH_HOST_KEY": server.HostKey(), "OTHER_KEY": publicKey(t),
				"SSH_AUTH_SOCK": "", "XDG_CACHE_HOME": filepath.Join(env.WorkDir, ".cache"),
			} {
				env.Setenv(name, value)
			}
			return nil
		},
	})
}

// publicKey is one that no server has.
func publicKey(t *testing.T) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(sshtest.NewKey(t).PublicKey())))
}

// exits runs a command that must end with the exit status given first.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARGUMENT...]")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var ended *exec.ExitError
		if !errors.As(err, &ended) {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, not %s", got, args[0])
	}
}
