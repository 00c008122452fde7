package actions

import (
	"errors"
	"fmt"
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

// TestASilentUnitThatEndsAgainAndAgain is noticed; one that ended once is not, nor one
// that did before it was restarted.
func TestASilentUnitThatEndsAgainAndAgain(t *testing.T) {
	for ends, want := range map[int]string{0: "", 1: "", 5: "scheduler ends again and again; the last that it said: invalid flag"} {
		synctest.Test(t, func(t *testing.T) {
			const former = 7
			start := time.Now()
			on := answering{&fake{}, func(argv []string) (string, error) {
				switch {
				case argv[0] == "journalctl":
					return "invalid flag\n", nil
				case slices.Contains(argv, "--property=NRestarts"):
					return fmt.Sprintln(former + min(ends, int(time.Since(start)/time.Second))), nil
				}
				return "", nil
			}}
			units := Units{Of: "units", Restart: []string{Service("certificates"), Service("scheduler")}}
			err := units.Apply(t.Context(), on, nil)
			if got := fmt.Sprint(err); want == "" && err != nil || want != "" && got != want {
				t.Errorf("%d: got %v", ends, err)
			}
			if took := time.Since(start); ends == 0 && took != firstLook {
				t.Errorf("it took %s", took)
			}
		})
	}
}
