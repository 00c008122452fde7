package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plug is the power of the world's machines. The cluster notices after 6 s (and a
// little, which no sample falls on) and
// replaces the pods 4 s later, which are Ready a second after that.
type plug struct {
	w     *world
	calls []string
	fails bool
}

func (p *plug) Off(_ context.Context, machine string) error {
	p.calls = append(p.calls, "off "+machine)
	if p.fails {
		return errors.New("no such plug")
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.off[machine] = true
	time.AfterFunc(6010*time.Millisecond, func() { p.w.lose(machine, "") })
	time.AfterFunc(10010*time.Millisecond, func() { p.w.lose("", machine) })
	return nil
}

func (p *plug) On(_ context.Context, machine string) error {
	p.calls = append(p.calls, "on "+machine)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.off[machine] = false
	time.AfterFunc(5*time.Second, func() {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		delete(p.w.lost, machine)
	})
	return nil
}

// lose marks a machine lost, or moves the pods of a lost one.
func (w *world) lose(lost, moved string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lost != "" && w.off[lost] {
		w.lost[lost] = true
	}
	if moved == "" || !w.off[moved] {
		return
	}
	for _, p := range w.pods {
		if p.node == moved && !p.gone {
			p.gone = true
			w.add(p.namespace, "web", w.machines[1])
		}
	}
}

func TestWorkerPower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		power := &plug{w: w}
		var plan DrillPlan
		drill, err := RunDrill(t.Context(), WorkerPower, w, DrillOptions{
			Options: w.options(), Power: power,
			Consent: func(p DrillPlan) error { plan = p; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(DrillPlan{Kind: WorkerPower, Machines: []string{"w2"}, Replicas: 2, There: 1, Others: []string{"m1", "w1"}, Observer: "m1"}, plan); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"off w2", "on w2"}, power.calls); diff != "" {
			t.Error(diff)
		}
		if !drill.Passed {
			t.Error("it did not pass")
		}
		var moments []string
		for _, m := range drill.Timeline {
			moments = append(moments, fmt.Sprintf("%.0f %s", m.Seconds, m.What))
		}
		if diff := cmp.Diff([]string{
			"0 the power of w2 is cut",
			"6 Node w2 is not Ready any more",
			"6 the Service sends nothing to w2 any more",
			"11 2 replicas are Ready on other machines",
			"11 every replica has answered through the Service",
			"11 the power of w2 is given back",
			"16 Node w2 is Ready again",
		}, moments); diff != "" {
			t.Error(diff)
		}
		got := map[string]float64{}
		for _, m := range drill.Measures {
			got[m.Name] = *m.Value
		}
		for name, want := range map[string]struct{ least, most float64 }{
			"not ready":       {6, 6.2},
			"endpoints gone":  {6, 6.2},
			"replicas ready":  {11, 11.2},
			"serving again":   {11, 11.5},
			"failed requests": {55, 65}, // every other one for 6 s
			"longest gap":     {0.05, 0.2},
			"last failure":    {6.5, 7.1}, // asked before 6 s, given up a second later
			"rejoined":        {5, 5.2},
		} {
			if got[name] < want.least || got[name] > want.most {
				t.Errorf("%s: %.3f, want %v to %v", name, got[name], want.least, want.most)
			}
		}
		w.left(t)
	})
}

func TestADrillWithoutConsentHarmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		power := &plug{w: w}
		no := errors.New("not agreed")
		_, err := RunDrill(t.Context(), WorkerPower, w, DrillOptions{Options: w.options(), Power: power, Consent: func(DrillPlan) error { return no }})
		if !errors.Is(err, no) || len(power.calls) != 0 {
			t.Errorf("error %v, calls %v", err, power.calls)
		}
		w.left(t)
	})
}

func TestADrillGivesThePowerBack(t *testing.T) {
	for name, test := range map[string]struct {
		fails bool
		after time.Duration // the user interrupts
		want  string
	}{
		"interrupted":        {after: 5 * time.Second, want: "context deadline exceeded"},
		"cutting went wrong": {fails: true, after: time.Hour, want: "no such plug"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld("m1", "w1", "w2")
				power := &plug{w: w, fails: test.fails}
				ctx, cancel := context.WithTimeout(t.Context(), test.after)
				defer cancel()
				drill, err := RunDrill(ctx, WorkerPower, w, DrillOptions{Options: w.options(), Power: power})
				if err == nil || !strings.Contains(err.Error(), test.want) || drill.Passed {
					t.Errorf("error %v", err)
				}
				if diff := cmp.Diff([]string{"off w2", "on w2"}, power.calls); diff != "" {
					t.Error(diff)
				}
				w.left(t)
				synctest.Wait()
			})
		})
	}
}

func TestADrillThatNobodySurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld("m1", "w1", "w2")
		w.machines = append(w.machines[:1:1], "w1", "w2")
		power := &plug{w: w}
		stuck := DrillOptions{Options: w.options(), Power: power, Patience: 8 * time.Second}
		drill, err := RunDrill(t.Context(), WorkerPower, w, stuck)
		if err == nil || !strings.Contains(err.Error(), "w2: gave up after 8s; reached: not ready, endpoints gone") || drill.Passed {
			t.Errorf("error %v", err)
		}
		for _, m := range drill.Measures {
			if m.Name == "serving again" && m.Value != nil {
				t.Errorf("serving again after %v", *m.Value)
			}
		}
		w.left(t)
	})
}

func TestADrillNeedsAnotherWorker(t *testing.T) {
	w := newWorld("m1", "w1")
	_, err := RunDrill(t.Context(), WorkerPower, w, DrillOptions{Options: w.options()})
	if err == nil || err.Error() != "a worker's loss needs another worker to take over, and there is none" {
		t.Errorf("got %v", err)
	}
}

func TestCommands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said")
	commands, err := ParseCommands("touch "+file+".{machine}", "ls /no/{machine}")
	if err != nil {
		t.Fatal(err)
	}
	if err := commands.Off(t.Context(), "w1"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file + ".w1"); err != nil {
		t.Error(err)
	}
	if err := commands.On(t.Context(), "w1"); err == nil || !strings.Contains(err.Error(), "ls /no/w1: exit status 2: ") {
		t.Errorf("got %v", err)
	}
	if _, err := ParseCommands("kill", "start {machine}"); err == nil || !strings.Contains(err.Error(), "put {machine} into it") {
		t.Errorf("got %v", err)
	}
}
