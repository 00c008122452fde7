package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func run(dir string, args ...string) (answer, error) {
	command := NewCommand()
	command.SilenceErrors, command.SilenceUsage = true, true
	var out bytes.Buffer
	command.SetArgs(append(args, "--dir", dir))
	command.SetOut(&out)
	err := command.Execute()
	var got answer
	if out.Len() > 0 {
		err = errors.Join(err, json.Unmarshal(out.Bytes(), &got))
	}
	return got, err
}

// refused checks for the exit status that says "somebody else".
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var coded interface{ ExitCode() int }
	if !errors.As(err, &coded) || coded.ExitCode() != 75 || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want a refusal with %q", err, want)
	}
}

func generation(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "generation"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestALeaseFromAcquireToRelease(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lock")
	first, err := run(dir, "acquire", "--owner", "ann@laptop", "--reason", "up", "--ttl", "1m")
	if err != nil {
		t.Fatal(err)
	}
	if first.Generation != 1 || !first.Held || first.RemainingSeconds < 50 {
		t.Errorf("acquired %+v", first)
	}
	present, err := run(dir, "acquire", "--owner", "bob", "--reason", "down")
	refused(t, err, "held by ann@laptop (up)")
	if present.Owner != "ann@laptop" || present.Generation != 1 {
		t.Errorf("the refusal shows %+v", present)
	}
	if got, err := run(dir, "renew", "--generation", "1", "--ttl", "30m"); err != nil || got.RemainingSeconds < 1000 {
		t.Errorf("renewed %+v, %v", got, err)
	}
	_, err = run(dir, "renew", "--generation", "2")
	refused(t, err, "no longer")
	_, err = run(dir, "release", "--generation", "7")
	refused(t, err, "no longer")
	for range 2 {
		if got, err := run(dir, "release", "--generation", "1"); err != nil || got.Held {
			t.Errorf("released %+v, %v", got, err)
		}
	}
	_, err = run(dir, "renew", "--generation", "1")
	refused(t, err, "no longer")
	second, err := run(dir, "acquire", "--owner", "bob", "--minimum-generation", "40")
	if err != nil || second.Generation != 40 || generation(t, dir) != "40\n" {
		t.Errorf("acquired %+v, %v; on disk %q", second, err, generation(t, dir))
	}
	if got, err := run(dir, "release", "--force"); err != nil || got.Held || got.Seen != 40 {
		t.Errorf("broken %+v, %v", got, err)
	}
	if got, err := run(dir, "show"); err != nil || got.Held || got.Seen != 40 {
		t.Errorf("shown %+v, %v", got, err)
	}
}

func TestAMachineRemembersGenerations(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"3", "3", "5"} {
		if _, err := run(dir, "check", "--generation", n); err != nil {
			t.Fatal(err)
		}
	}
	_, err := run(dir, "check", "--generation", "4")
	refused(t, err, "older than 5")
	if generation(t, dir) != "5\n" {
		t.Errorf("on disk %q", generation(t, dir))
	}
	if got, err := run(dir, "acquire", "--owner", "x"); err != nil || got.Generation != 6 {
		t.Errorf("acquired %+v, %v", got, err)
	}
}

func TestTimeAndBootsEndALease(t *testing.T) {
	at := clock{boot: "a", now: time.Hour}
	held, err := state{}.acquire("ann", "up", time.Minute, 0, at)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		at   clock
		free bool
	}{
		"before":               {clock{"a", time.Hour + 59*time.Second}, false},
		"at the end":           {clock{"a", time.Hour + time.Minute}, true},
		"restarted":            {clock{"b", time.Second}, true},
		"restarted, same time": {clock{"b", time.Hour}, true},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := held.acquire("bob", "", time.Minute, 0, test.at)
			if (err == nil) != test.free {
				t.Fatalf("acquire: %v", err)
			}
			if test.free && next.lease.Generation != 2 {
				t.Errorf("generation %d", next.lease.Generation)
			}
			// The first owner, back from sleep: still good where nobody came, never after.
			if _, err := held.renew(1, time.Minute, test.at); err != nil {
				t.Errorf("renew where nobody came: %v", err)
			}
			if _, err := next.renew(1, time.Minute, test.at); test.free && err == nil {
				t.Error("renewed beside a new owner")
			}
		})
	}
}

func TestOnlyOneOfManyAcquires(t *testing.T) {
	dir := t.TempDir()
	var wait sync.WaitGroup
	won := make(chan uint64, 20)
	for i := range cap(won) {
		wait.Go(func() {
			if got, err := run(dir, "acquire", "--owner", "o"+strconv.Itoa(i)); err == nil {
				won <- got.Generation
			}
		})
	}
	wait.Wait()
	if len(won) != 1 {
		t.Errorf("%d owners", len(won))
	}
}

func TestKilledBetweenTheFiles(t *testing.T) {
	dir := t.TempDir()
	// The generation was written, the lease was not.
	if err := os.WriteFile(filepath.Join(dir, "generation"), []byte("9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".lease.json.1.tmp"), []byte(`{"own`), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := run(dir, "acquire", "--owner", "x"); err != nil || got.Generation != 10 {
		t.Errorf("acquired %+v, %v", got, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 4 { // the reserve is the fourth
		t.Errorf("left %v", entries)
	}
}

func TestMisuseChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lock")
	for _, args := range [][]string{
		{"acquire"},
		{"acquire", "--owner", ""},
		{"acquire", "--owner", "a\nb"},
		{"acquire", "--owner", "a", "--ttl", "0s"},
		{"acquire", "--owner", "a", "--ttl", "2h"},
		{"acquire", "--owner", "a", "--minimum-generation", fmt.Sprint(uint64(1) << 63)},
		{"renew"}, {"release"}, {"check"},
	} {
		if _, err := run(dir, args...); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
}
