//go:build lab

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"provision/provisioner/bundle"
)

// started is a command of the tool that runs beside the test.
type started struct {
	l      *lab
	cmd    *exec.Cmd
	stdout stream
	stderr stream
	ended  chan struct{}
}

// stream collects what a command says, for whoever asks in the meantime.
type stream struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *stream) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start runs a command of the tool on the lab's file. It is killed when the test
// ends, should it still run.
func (l *lab) start(command string, args ...string) *started {
	l.t.Helper()
	s := &started{l: l, ended: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(root, "bin", "provision"), slices.Concat(strings.Fields(command), []string{l.file}, args)...)
	s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr = root, &s.stdout, &s.stderr
	if err := s.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		s.cmd.Wait()
	}()
	l.t.Cleanup(func() {
		s.cmd.Process.Kill() // nothing where it ended
		<-s.ended
	})
	return s
}

// says waits until the command has said so, on either stream.
func (s *started) says(text string) {
	s.l.t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(s.stdout.String()+s.stderr.String(), text) {
		select {
		case <-s.ended:
			if strings.Contains(s.stdout.String()+s.stderr.String(), text) {
				return
			}
			s.l.t.Fatalf("it ended and never said %q:\n%s%s", text, &s.stdout, &s.stderr)
		case <-deadline:
			s.l.t.Fatalf("within a minute it did not say %q:\n%s%s", text, &s.stdout, &s.stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *started) signal(what os.Signal) {
	s.l.t.Helper()
	if err := s.cmd.Process.Signal(what); err != nil {
		s.l.t.Fatalf("%s: %v", what, err)
	}
}

// end waits for the command's end. The exit status is a shell's: 128 and the
// signal's number where one ended it.
func (s *started) end(limit time.Duration) output {
	s.l.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(limit):
		s.l.t.Fatalf("it did not end within %s:\n%s%s", limit, &s.stdout, &s.stderr)
	}
	code := s.cmd.ProcessState.ExitCode()
	if status, ok := s.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		code = 128 + int(status.Signal())
	}
	return output{code, s.stdout.String(), s.stderr.String()}
}

// wants checks a command's exit status and every sentence that it should say.
func (o output) wants(t testing.TB, code int, sentences ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit status %d, want %d\n%s", o.code, code, o.all())
	}
	for _, sentence := range sentences {
		if !strings.Contains(o.all(), sentence) {
			t.Errorf("it does not say %q:\n%s", sentence, o.all())
		}
	}
}

// slow makes the way from here to the machines slow, for all of them together;
// 0 takes the limit away.
func (l *lab) slow(megabits int) {
	l.t.Helper()
	cable := l.cable()
	argv := []string{"qdisc", "replace", "dev", cable, "root", "tbf",
		"rate", strconv.Itoa(megabits) + "mbit", "burst", "256k", "latency", "200ms"}
	if megabits == 0 {
		argv = []string{"qdisc", "del", "dev", cable, "root"}
	}
	if out, err := exec.Command("tc", argv...).CombinedOutput(); err != nil {
		l.t.Fatalf("tc %s: %v: %s", strings.Join(argv, " "), err, out)
	}
}

// cable is the link from here to the machines.
func (l *lab) cable() string {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "lab.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	var written struct{ ID string }
	if err := json.Unmarshal(text, &written); err != nil {
		l.t.Fatal(err)
	}
	return "plab-" + written.ID
}

var errOver = errors.New("the upload was over before it was seen")

// midway returns when a machine is in the middle of a bundle's upload: when its
// largest file has begun to arrive.
func (l *lab) midway(machine string) error {
	out := l.call(time.Minute, "bin/lab", "ssh", machine, "--dir", l.dir, "--", "sh", "-c", `i=0
		while [ $i -lt 800 ]; do
			ls /opt/provision/1.*/manifest.json >/dev/null 2>&1 && exit 9
			ls /opt/provision/.tmp-unpack-1.*/bin/node >/dev/null 2>&1 && exit 0
			sleep 0.05; i=$((i+1))
		done
		exit 8`)
	switch out.code {
	case 0:
		return nil
	case 9:
		return errOver
	}
	return fmt.Errorf("no upload begins: exit status %d: %s", out.code, out.all())
}

// noBundle takes a bundle, or what of one has arrived, from a machine where
// nothing runs from it yet.
func (l *lab) noBundle(machine string) {
	l.t.Helper()
	l.on(machine, "sh", "-c", "rm -rf /opt/provision/1.* /opt/provision/.tmp-unpack-*")
}

// received is how many bytes have come over a machine's cable since it was switched on.
func (l *lab) received(machine string) int {
	l.t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(l.on(machine, "cat", "/sys/class/net/eth0/statistics/rx_bytes")))
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// bundleSize is the newest bundle's size in bytes.
func bundleSize(t *testing.T) int {
	t.Helper()
	path, err := bundle.Find([]string{filepath.Join(root, "dist")}, "")
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return int(info.Size())
}
