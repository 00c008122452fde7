package view

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"provision/components"
	"provision/components/actions"
	"provision/provisioner/plan"
	"provision/provisioner/run"
	"provision/provisioner/verify"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// act is an action that only prints.
type act struct{ Of, Text string }

func (a act) Component() string                                              { return a.Of }
func (a act) String() string                                                 { return a.Text }
func (act) Touches() []components.Touch                                      { return nil }
func (act) Apply(context.Context, components.Machine, components.Site) error { return nil }

var some = plan.Plan{Phases: []plan.Phase{
	{Name: "prepare", Stages: []plan.Stage{{Name: "prepare", Jobs: []plan.Job{
		{Machine: "m1", Actions: []components.Action{act{"base", "write /etc/modules-load.d/provision.conf"}, act{"bundle", "send the agent"}}},
		{Machine: "w1", Actions: []components.Action{act{"base", "write /etc/modules-load.d/provision.conf"}, act{"bundle", "send the agent"}}},
		{Machine: "worker-2", Actions: []components.Action{act{"bundle", "send the agent"}}},
	}}}},
	{Name: "cluster", Stages: []plan.Stage{
		{Name: "etcd", Jobs: []plan.Job{{Machine: "m1", Actions: []components.Action{act{"etcd", "start provision-etcd"}}}}},
		{Name: "nodes", Jobs: []plan.Job{
			{Machine: "m1", Actions: []components.Action{act{"kubelet", "start\tprovision-kubelet\x1b[31m"}}},
			{Machine: "w1", Actions: []components.Action{act{"kubelet", "join"}}},
		}},
	}},
}}

func TestPlan(t *testing.T) {
	var out, errout bytes.Buffer
	if err := New(&out, &errout, false).Plan(some); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.txt", out.String())
	out.Reset()
	if err := New(&out, &errout, true).Plan(some); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", out.String())
	out.Reset()
	New(&out, &errout, false).Plan(plan.Plan{})
	New(&out, &errout, false).NoChanges(1)
	New(&out, &errout, false).NoChanges(3)
	New(&out, &errout, true).NoChanges(3)
	New(&out, &errout, true).Plan(plan.Plan{})
	golden(t, "nothing.txt", out.String())
	if errout.Len() > 0 {
		t.Errorf("on standard error: %s", errout.String())
	}
}

func TestPlanNamesRestarts(t *testing.T) {
	restart := func(machine string, units ...string) plan.Job {
		return plan.Job{Machine: machine, Actions: []components.Action{actions.Units{Of: "units", Restart: units}}}
	}
	var out bytes.Buffer
	err := New(&out, io.Discard, false).Plan(plan.Plan{Phases: []plan.Phase{{Name: "cluster", Stages: []plan.Stage{
		{Name: "restart of m1", Jobs: []plan.Job{restart("m1", "provision-etcd.service", "provision-apiserver.service")}},
		{Name: "restart of m2", Jobs: []plan.Job{restart("m2", "provision-etcd.service", "provision-apiserver.service")}},
		{Name: "kubelets of w1, w2", Jobs: []plan.Job{restart("w1", "provision-kubelet.service"), restart("w2", "provision-kubelet.service")}},
	}}}})
	if want := "4 changes on 4 machines\n6 restarts: etcd, apiserver on m1, then m2; kubelet on w1, w2\n"; err != nil || !strings.HasSuffix(out.String(), want) {
		t.Errorf("%v; got\n%s\nwant at its end\n%s", err, out.String(), want)
	}
}

// happen tells an observer of a run that takes 3.2 s and fails on w1.
func happen(o run.Observer) {
	at := func(d time.Duration, e run.Event) {
		time.Sleep(d)
		e.Time = time.Now()
		o.Observe(e)
	}
	const modules, agent = "write /etc/modules-load.d/provision.conf", "send the agent"
	at(0, run.Event{Kind: run.PhaseStart, Phase: "prepare"})
	at(0, run.Event{Kind: run.StageStart, Phase: "prepare", Stage: "prepare"})
	at(0, run.Event{Kind: run.ActionStart, Machine: "m1", Component: "base", Action: modules})
	at(0, run.Event{Kind: run.ActionStart, Machine: "w1", Component: "base", Action: modules})
	at(250*time.Millisecond, run.Event{Kind: run.ActionDone, Machine: "m1", Component: "base", Action: modules, Took: 250 * time.Millisecond})
	at(0, run.Event{Kind: run.ActionStart, Machine: "m1", Component: "bundle", Action: agent})
	at(time.Second, run.Event{Kind: run.ActionFailed, Machine: "w1", Component: "base", Action: modules, Took: 1250 * time.Millisecond,
		Err: errors.New("w1: write: no space\nleft \x1b]0;on device")})
	at(1950*time.Millisecond, run.Event{Kind: run.ActionDone, Machine: "m1", Component: "bundle", Action: agent, Took: 2950 * time.Millisecond})
	at(0, run.Event{Kind: run.ActionStart, Machine: "m2", Component: "bundle", Action: agent})
	at(0, run.Event{Kind: run.ActionStopped, Machine: "m2", Component: "bundle", Action: agent})
	at(0, run.Event{Kind: run.StageDone, Phase: "prepare", Stage: "prepare", Took: 3200 * time.Millisecond})
	at(0, run.Event{Kind: run.PhaseDone, Phase: "prepare", Took: 3200 * time.Millisecond})
}

func TestProgressInPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errout bytes.Buffer
		printer := New(&out, &errout, false)
		observer, finish := printer.Progress(some)
		happen(observer)
		finish(errors.New("w1: it failed"))
		_, finish = printer.Progress(some)
		time.Sleep(65 * time.Second)
		finish(nil)
		golden(t, "progress.txt", errout.String())
		if out.Len() > 0 {
			t.Errorf("on standard output: %s", out.String())
		}
	})
}

func TestARefusalIsNotToBeRunAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			err  error
			want string
		}{
			{errors.Join(errors.New("w2: off"), Refuse(errors.New("w1: cannot reach m1"))), "stopped after 2.0s, before anything was installed; run the same command again when what stands in the way is seen to\n"},
			{errors.New("w1: it failed"), "stopped after 2.0s: 0 of 8 changes made; run the same command to go on\n"},
		} {
			var errout bytes.Buffer
			_, finish := New(&errout, &errout, false).Progress(some)
			time.Sleep(2 * time.Second)
			finish(test.err)
			if errout.String() != test.want {
				t.Errorf("%v: %q", test.err, &errout)
			}
		}
	})
}

func TestProgressInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, errout bytes.Buffer
		observer, finish := New(&out, &errout, true).Progress(some)
		happen(observer)
		finish(nil)
		golden(t, "progress.json", out.String())
		if errout.Len() > 0 {
			t.Errorf("on standard error: %s", errout.String())
		}
	})
}

// screen is a terminal of so many columns that understands what live uses of
// escape sequences.
type screen struct {
	lines []string
	row   int
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text, "AJ")
			n := 0
			for _, c := range text[2:end] {
				n = 10*n + int(c-'0')
			}
			if text[end] == 'A' {
				s.row -= n
			} else {
				s.lines = s.lines[:min(s.row, len(s.lines))]
			}
			text = text[end+1:]
		case text[0] == '\r':
			text = text[1:]
		default:
			line, rest, _ := strings.Cut(text, "\n")
			s.lines = append(s.lines[:s.row], line)
			s.row++
			text = rest
		}
	}
	return len(p), nil
}

func (s *screen) show() string { return strings.Join(s.lines, "\n") + "\n" }

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s screen
		var shots []string
		sum := &summary{begin: time.Now(), total: some.Count(), machines: 3}
		l := newLive(&s, style(false), func() (int, int) { return 50, 5 }, sum, some)
		for _, at := range []time.Duration{150, 400, 2000} {
			time.AfterFunc(at*time.Millisecond+50*time.Millisecond, func() {
				synctest.Wait()
				l.mu.Lock()
				defer l.mu.Unlock()
				shots = append(shots, "after "+took(at*time.Millisecond)+":\n"+s.show())
			})
		}
		happen(observe(l.observe))
		l.close()
		l.mu.Lock()
		defer l.mu.Unlock()
		golden(t, "live.txt", strings.Join(append(shots, "in the end:\n"+s.show()), "\n"))
	})
}

// An upload shows how far it is.
func TestUploadBar(t *testing.T) {
	l := &live{summary: &summary{begin: time.Now(), total: 1}, by: map[string]*machineLine{}, out: io.Discard, size: func() (int, int) { return 90, 5 }}
	l.observe(run.Event{Kind: run.PhaseStart, Phase: "machines"})
	started := run.Event{Kind: run.ActionStart, Machine: "w1", Component: "bundle", Action: "send", Time: time.Now()}
	l.observe(started)
	moved := started
	moved.Kind, moved.Bytes, moved.Of = run.ActionMoved, 46e6, 92e6
	l.observe(moved)
	if got := l.block(90, 5)[1]; !strings.Contains(got, "█████░░░░░ 46.0 MB of 92.0 MB") {
		t.Errorf("half-way: %q", got)
	}
	l.observe(run.Event{Kind: run.ActionDone, Machine: "w1"})
	l.observe(started)
	if got := l.block(90, 5)[1]; strings.Contains(got, "█") {
		t.Errorf("the next action has the bar of the last: %q", got)
	}
	event, err := json.Marshal(eventOf(moved))
	if err != nil || !strings.Contains(string(event), `"bytes":46000000,"of":92000000`) {
		t.Errorf("%s %v", event, err)
	}
}

func TestVerify(t *testing.T) {
	results := []verify.Result{
		{Check: "nodes ready", Subject: "m1", Outcome: verify.OK},
		{Check: "nodes ready", Subject: "w1", Outcome: verify.OK},
		{Check: "pod to pod", Subject: "m1 → w1", Outcome: verify.OK, Seconds: 0.31, Detail: "at try 2"},
		{Check: "pod to pod", Subject: "w1 → m1", Outcome: verify.Failed, Seconds: 8, Detail: "probe get: dial tcp: i/o timeout"},
		{Check: "outside", Subject: "-", Outcome: verify.NotChecked, Detail: "the file names none"},
	}
	var out, errout bytes.Buffer
	printer := New(&out, &errout, false)
	for _, r := range results {
		printer.Check(r)
	}
	if err := printer.Verified(results); err != nil {
		t.Fatal(err)
	}
	golden(t, "verify.txt", errout.String()+"\n"+out.String())
	out.Reset()
	printer = New(&out, &errout, true)
	printer.Check(results[3])
	printer.Verified(results)
	want := `{"check":"pod to pod","subject":"w1 → m1","outcome":"failed","detail":"probe get: dial tcp: i/o timeout","seconds":8}` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestDrill(t *testing.T) {
	drill := verify.Drill{
		Name: "worker power", Machine: "w2", Replicas: 2, Passed: true,
		Measures: []verify.Measure{
			{Name: "not ready", Value: new(6.118), Unit: "s", What: "the Node counts as lost"},
			{Name: "failed requests", Value: new(57.0), Unit: "requests", What: "of them had no answer"},
			{Name: "rejoined", Unit: "s", What: "the Node is Ready again"},
		},
		Timeline: []verify.Moment{{Seconds: 0, What: "the power of w2 is cut"}, {Seconds: 6.118, What: "Node w2 is not Ready any more"}},
	}
	var out, errout bytes.Buffer
	printer := New(&out, &errout, false)
	printer.DrillPlan(verify.DrillPlan{Kind: verify.WorkerPower, Machines: []string{"w2"}, Hold: 25 * time.Second, Replicas: 2, There: 1, Others: []string{"m1", "w1"}})
	for _, m := range drill.Timeline {
		printer.Moment(m)
	}
	if err := printer.Drill(drill); err != nil {
		t.Fatal(err)
	}
	golden(t, "drill.txt", errout.String()+"\n"+out.String())
	out.Reset()
	New(&out, &errout, true).Drill(drill)
	golden(t, "drill.json", out.String())
}

func TestColour(t *testing.T) {
	if got, want := resultLine(style(true), verify.Result{Check: "dns", Subject: "w1", Outcome: verify.OK}), "\x1b[32mok         \x1b[0m  dns"; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	var out bytes.Buffer
	New(&out, &out, false).Table([]string{"A", "LONGER"}, [][]string{{"größer", "x\x1b[2J"}, {"b", ""}})
	if diff := cmp.Diff("A       LONGER\ngrößer  x?[2J\nb\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0s", 60 * time.Millisecond: "0.1s", 12345 * time.Millisecond: "12.3s",
		65400 * time.Millisecond: "1m05s", 2 * time.Hour: "120m00s",
	} {
		if got := took(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestWhatAMachineSaidIsTextAlone(t *testing.T) {
	var stderr bytes.Buffer
	New(io.Discard, &stderr, false).Say("error: ", errors.Join(errors.New("w1: \x1b[2Jgone"), errors.New("w2: ok\rm1")))
	if got, want := stderr.String(), "error: w1: ?[2Jgone\nw2: ok?m1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEventsOfManyMachinesAreCounted(t *testing.T) {
	var stdout bytes.Buffer
	observer, finish := New(&stdout, io.Discard, true).Progress(plan.Plan{})
	var machines sync.WaitGroup
	for range 8 {
		machines.Go(func() {
			for range 500 {
				observer.Observe(run.Event{Kind: run.ActionDone})
			}
		})
	}
	machines.Wait()
	finish(nil)
	if text := stdout.String(); !strings.Contains(text, `"kind":"done"`) || !strings.Contains(text, `"changes":4000`) {
		t.Errorf("ended with %s", text[strings.LastIndex(strings.TrimSpace(text), "\n")+1:])
	}
}
