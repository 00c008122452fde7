package actions

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"provision/components"
)

// failing is a machine on which provision-kubelet does not start.
type failing struct {
	fake
	words    string
	restarts int
}

func (f *failing) answer(argv []string) (string, error) {
	refused := &components.ExitError{Argv: argv, Code: 1, Stderr: []byte("Job failed.\nSee \"systemctl status\".\n")}
	switch {
	case argv[0] == "journalctl":
		return f.words + "\n", nil
	case argv[1] == "restart", argv[1] == "is-active" && slices.Contains(argv, Service("kubelet")):
		return "", refused
	case slices.Contains(argv, "--property=NRestarts"):
		f.restarts++
		return strings.Repeat("1", min(2, f.restarts)) + "\n", nil // 1, then 11
	}
	return "", nil
}

func TestAUnitThatDoesNotStartSaysWhy(t *testing.T) {
	f := &failing{words: `"command failed" err="unknown field"`}
	on := answering{f, f.answer}
	units := Units{Of: "worker", Restart: []string{Service("kubelet"), Service("proxy")}, Wait: true}
	err := units.Apply(t.Context(), on, f)
	if want := `kubelet does not start; the last that it said: "command failed" err="unknown field"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	f.words = ""
	if err := units.Apply(t.Context(), on, f); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("got %v", err)
	}
}

// TestAnAPIServerThatEndsAgainAndAgain is not waited for to the end.
func TestAnAPIServerThatEndsAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{words: "Error: invalid audit log mode"}
		f.api = func() error { return errors.New("connection refused") }
		start := time.Now()
		err := WaitAPI{Own: true, Timeout: time.Minute}.Apply(t.Context(), answering{f, f.answer}, f)
		want := "the API server is not ready: connection refused; the last that it said: Error: invalid audit log mode"
		if took := time.Since(start); err == nil || err.Error() != want || took > 10*time.Second {
			t.Errorf("after %s: %v, want %s", took, err, want)
		}
	})
}
