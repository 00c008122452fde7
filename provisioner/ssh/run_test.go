package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"provision/components"
	"provision/provisioner/ssh/sshtest"
)

func TestRunGivesOutputOfInput(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	got, err := client.Run(soon(t), []string{"tr", "a-z", "A-Z"}, strings.NewReader("hello"))
	if err != nil || string(got) != "HELLO" {
		t.Errorf("got %q, %v", got, err)
	}
}

// The agent refuses a lock with exit status 75 and says on stdout who has it.
func TestAFailedCommandsOutputComesWithItsError(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	got, err := client.Run(soon(t), []string{"sh", "-c", "echo anna; exit 75"}, nil)
	var exit *components.ExitError
	if !errors.As(err, &exit) || exit.Code != 75 || string(got) != "anna\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Whatever is in argv arrives as it was, through the machine's real shell.
func TestArgvArrivesAsItWas(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	alphabet := []string{"a", "Z", " ", "'", `"`, `\`, "$", "`", "\n", "\t", "*", "?", "~", "!", "#", ";", "&", "|", "<", ">", "(", ")", "{", "}", "[", "]", "=", "%", "-", "é", "\x01", "\xff", "$(id)", "--"}
	cases := [][]string{{""}, {"", ""}, {"a=b"}, {"A=b c"}, {"-n"}, {"~root"}, {"it's"}, {"'"}, {"''"}}
	for range 60 {
		var args []string
		for range rand.IntN(5) + 1 {
			var arg strings.Builder
			for range rand.IntN(8) {
				arg.WriteString(alphabet[rand.IntN(len(alphabet))])
			}
			args = append(args, arg.String())
		}
		cases = append(cases, args)
	}
	for _, args := range cases {
		argv := append([]string{"sh", "-c", `for a in "$@"; do printf '%s\0' "$a"; done`, "sh"}, args...)
		got, err := client.Run(soon(t), argv, nil)
		if want := strings.Join(args, "\x00") + "\x00"; err != nil || string(got) != want {
			t.Fatalf("%q arrived as %q, %v", args, got, err)
		}
	}
}

func TestArgvThatCannotBeSent(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	for _, argv := range [][]string{nil, {""}, {"echo", "a\x00b"}, {"a=b", "true"}} {
		if _, err := client.Run(soon(t), argv, nil); err == nil {
			t.Errorf("%q was run", argv)
		}
	}
}

func TestFailedCommand(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	_, err := client.Run(soon(t), []string{"sh", "-c", "echo first >&2; echo last >&2; exit 7"}, nil)
	var exit *components.ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || string(exit.Stderr) != "first\nlast\n" {
		t.Fatalf("got %#v", err)
	}
	wantError(t, err, "exit status 7", "last")

	_, err = client.Run(soon(t), []string{"sh", "-c", "kill -KILL $$"}, nil)
	if !errors.As(err, &exit) || exit.Code != -1 || exit.Signal != "KILL" {
		t.Errorf("got %#v, want signal KILL", err)
	}
}

func TestTooMuchOutputIsRefused(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	_, err := client.Run(soon(t), []string{"head", "-c", fmt.Sprint(maxStdout + 1), "/dev/zero"}, nil)
	wantError(t, err, "more than 16 MiB")
	got, err := client.Run(soon(t), []string{"head", "-c", fmt.Sprint(maxStdout), "/dev/zero"}, nil)
	if err != nil || len(got) != maxStdout {
		t.Errorf("got %d bytes, %v; want exactly the limit", len(got), err)
	}
}

// The reason of a failure is at the end of what it says.
func TestMuchErrorOutputKeepsItsEnd(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	_, err := client.Run(soon(t), []string{"sh", "-c", "head -c 5000000 /dev/zero | tr '\\0' x >&2; echo; echo the end >&2; exit 1"}, nil)
	var exit *components.ExitError
	if !errors.As(err, &exit) || len(exit.Stderr) > maxStderr || !bytes.HasSuffix(exit.Stderr, []byte("the end\n")) {
		t.Errorf("kept %d bytes", len(exit.Stderr))
	}
}

// A command that ends by SIGTERM is given the time to, and nothing of it stays.
func TestCancelEndsTheCommand(t *testing.T) {
	noLeaks(t)
	client, _ := dial(t, sshtest.Options{})
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(soon(t))
	reason := errors.New("the reason")
	go func() {
		for {
			if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
				cancel(reason)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	script := `trap 'touch "$1/ended"; exit 1' TERM; touch "$1/started"; while :; do sleep 0.05; done`
	_, err := client.Run(ctx, []string{"sh", "-c", script, "sh", dir}, nil)
	if !errors.Is(err, reason) {
		t.Errorf("got %v, want the cause", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ended")); err != nil {
		t.Error("the command was not told to end")
	}
	if _, err := client.Run(soon(t), []string{"true"}, nil); err != nil {
		t.Errorf("the connection is of no more use: %v", err)
	}
}

// What a command started goes with it, also under sudo.
func TestCancelEndsWhatTheCommandStarted(t *testing.T) {
	root, _ := dial(t, sshtest.Options{})
	sudo, _ := dialSudo(t, sudoWorks)
	for name, client := range map[string]*Client{"root": root, "sudo": sudo} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "child")
			ctx, cancel := context.WithCancel(soon(t))
			var child []byte
			go func() {
				defer cancel()
				for len(child) == 0 && ctx.Err() == nil {
					child, _ = os.ReadFile(file)
					time.Sleep(5 * time.Millisecond)
				}
			}()
			script := `sleep 100 & echo $! >"$1.new"; mv "$1.new" "$1"; wait`
			if _, err := client.Run(ctx, []string{"sh", "-c", script, "sh", file}, nil); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			pid := strings.TrimSpace(string(child))
			for range 100 {
				if !isSleeping(pid) {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Errorf("process %s goes on", pid)
		})
	}
}

// isSleeping reports whether a process of that number is a sleep that goes on.
func isSleeping(pid string) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	return err == nil && strings.Contains(string(stat), "(sleep)") && !strings.Contains(string(stat), ") Z ")
}

func TestCommandThatIgnoresSIGTERM(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := client.Run(ctx, []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*killAfter+time.Second {
		t.Errorf("got %v after %s", err, time.Since(began))
	}
}

// Half an input must not be taken for all of it.
func TestFailingInputFailsTheCommand(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	broken := errors.New("the disk is gone")
	name := filepath.Join(t.TempDir(), "complete")
	source := io.MultiReader(strings.NewReader("half"), iotestError{broken})
	err := client.RunStream(soon(t), []string{"sh", "-c", `cat >/dev/null && touch "$1"`, "sh", name}, source, nil, nil)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("the command took the half for all")
	}
}

type iotestError struct{ err error }

func (e iotestError) Read([]byte) (int, error) { return 0, e.err }

// A command need not read its input.
func TestInputThatIsNotRead(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	if _, err := client.Run(soon(t), []string{"true"}, bytes.NewReader(make([]byte, 8<<20))); err != nil {
		t.Error(err)
	}
}

// More at once than sshd has sessions for: all of it is done, over one connection.
func TestManyCommandsAtOnce(t *testing.T) {
	noLeaks(t)
	client, server := dial(t, sshtest.Options{})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			got, err := client.Run(soon(t), []string{"echo", fmt.Sprint(i)}, nil)
			if err != nil || string(got) != fmt.Sprintln(i) {
				t.Errorf("%d: got %q, %v", i, got, err)
			}
		})
		all.Go(func() {
			if err := client.WriteFile(soon(t), filepath.Join(os.TempDir(), t.Name(), fmt.Sprint(i)), 0o644, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	os.RemoveAll(filepath.Join(os.TempDir(), t.Name()))
	if stats := server.Stats(); stats.Connections != 1 || stats.Sessions > 10 {
		t.Errorf("%d connections and %d sessions at once, want 1 and at most 10", stats.Connections, stats.Sessions)
	}
}

func TestShellRunsAsTheUser(t *testing.T) {
	client, _ := dial(t, sshtest.Options{})
	var stdout, stderr bytes.Buffer
	err := client.Shell(soon(t), []string{"sh", "-c", "echo out; echo err >&2; exit 3"}, nil, &stdout, &stderr)
	var exit *components.ExitError
	if !errors.As(err, &exit) || exit.Code != 3 || stdout.String() != "out\n" || stderr.String() != "err\n" {
		t.Errorf("got %v, %q, %q", err, stdout.String(), stderr.String())
	}
}
