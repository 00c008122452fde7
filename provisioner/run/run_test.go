package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"provision/components"
	"provision/components/journal"
	"provision/provisioner/plan"
)

// box is a machine that keeps files and a lock, and notes what was done to it.
type box struct {
	name string
	mu   sync.Mutex
	files,
	lease map[string]string
	log    []string
	silent error // what reading a file ends in, where it is set
	before func(verb string)
	after  func(verb string) error // what a verb of the lock ends in
}

func newBox(name string) *box { return &box{name: name, files: map[string]string{}} }

func (b *box) Name() string { return b.name }

func (b *box) Run(_ context.Context, argv []string, _ io.Reader) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	flag := func(name string) string {
		if i := slices.Index(argv, name); i >= 0 {
			return argv[i+1]
		}
		return ""
	}
	if argv[0] == "stat" {
		return []byte("644\n"), nil
	}
	if len(argv) < 3 || argv[1] != "lock" {
		return nil, &components.ExitError{Argv: argv, Code: 1}
	}
	if b.before != nil {
		b.before(argv[2])
	}
	seen := func() string { return strings.TrimSpace(b.files[lockDir+"/generation"]) }
	switch argv[2] {
	case "acquire":
		if b.lease != nil {
			return b.answer(), &components.ExitError{Argv: argv, Code: exitTaken}
		}
		b.lease = map[string]string{"owner": flag("--owner"), "reason": flag("--reason")}
		have, _ := strconv.Atoi(seen())
		least, _ := strconv.Atoi(flag("--minimum-generation"))
		b.files[lockDir+"/generation"] = fmt.Sprintln(max(have+1, least))
	case "check":
		b.files[lockDir+"/generation"] = flag("--generation") + "\n"
	case "release":
		if flag("--generation") != seen() {
			return nil, &components.ExitError{Argv: argv, Code: exitTaken}
		}
		b.lease = nil
	}
	out := b.answer()
	if b.after != nil {
		return out, b.after(argv[2])
	}
	return out, nil
}

// answer is what every verb of the lock prints. A lease's time runs from its
// "until" on; one that has none does not run out.
func (b *box) answer() []byte {
	left := 60.0
	if until, err := time.Parse(time.RFC3339Nano, b.lease["until"]); err == nil {
		left = time.Until(until).Seconds()
	}
	if left <= 0 {
		b.lease = nil
	}
	generation := cmp.Or(strings.TrimSpace(b.files[lockDir+"/generation"]), "0")
	return fmt.Appendf(nil, `{"owner":%q,"reason":%q,"generation":%s,"held":%v,"remaining_seconds":%f}`,
		b.lease["owner"], b.lease["reason"], generation, b.lease != nil, max(0, left))
}

func (b *box) ReadFile(_ context.Context, name string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.silent != nil {
		return nil, b.silent
	}
	text, ok := b.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (b *box) WriteFile(_ context.Context, name string, _ fs.FileMode, data []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.files[name] = string(data)
	return nil
}

// step is an action that notes itself and may fail.
type step struct {
	name    string
	touches []components.Touch
	early   bool
	apply   func(ctx context.Context, on *box) error
}

func (s step) Component() string            { return "test" }
func (s step) String() string               { return s.name }
func (s step) Touches() []components.Touch  { return s.touches }
func (s step) Early() bool                  { return s.early }
func (s step) Sets(components.Touch) string { return "ours" }
func (s step) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	b := on.(*box)
	b.mu.Lock()
	b.log = append(b.log, s.name)
	b.mu.Unlock()
	if s.apply != nil {
		return s.apply(ctx, b)
	}
	return nil
}

func site(boxes ...*box) Env {
	return Env{
		Machine: func(name string) (components.Machine, error) {
			for _, b := range boxes {
				if b.name == name {
					return b, nil
				}
			}
			return nil, fmt.Errorf("%s: unreachable", name)
		},
		Masters: []string{"m1"},
		Agent:   "/agent",
		Owner:   "test",
		Reason:  "up",
		Alive:   func(string) (alive, known bool) { return true, true },
		Grace:   50 * time.Millisecond,
	}
}

func phases(names string, stages ...plan.Stage) plan.Plan {
	var p plan.Plan
	for i, name := range strings.Fields(names) {
		p.Phases = append(p.Phases, plan.Phase{Name: name, Stages: []plan.Stage{stages[i]}})
	}
	return p
}

// inOrder is a Replan that returns one plan after the other.
func inOrder(plans ...plan.Plan) func(context.Context, []string) (plan.Plan, error) {
	return func(context.Context, []string) (plan.Plan, error) {
		p := plans[0]
		plans = plans[1:]
		return p, nil
	}
}

// same is a Replan that finds what was found before.
func same(p plan.Plan) func(context.Context, []string) (plan.Plan, error) {
	return func(context.Context, []string) (plan.Plan, error) { return p, nil }
}

func stage(name string, jobs ...plan.Job) plan.Stage { return plan.Stage{Name: name, Jobs: jobs} }

func job(machine string, actions ...components.Action) plan.Job {
	return plan.Job{Machine: machine, Actions: actions}
}

func TestAFailedWorkerIsLeftOutAndItsNeighbourFinishes(t *testing.T) {
	m1, w1, w2 := newBox("m1"), newBox("w1"), newBox("w2")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no disk") }}
	first := stage("base", job("m1", step{name: "a"}), job("w1", bad, step{name: "never"}), job("w2", step{name: "a"}, step{name: "b"}))
	second := stage("start", job("m1", step{name: "c"}), job("w1", step{name: "never"}), job("w2", step{name: "c"}))
	env := site(m1, w1, w2)
	both := phases("one two", first, second)
	env.Replan = inOrder(both, phases("two", second))

	err := Apply(t.Context(), both, env)
	if got, want := fmt.Sprint(err), "w1: base: bad: no disk"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	for b, want := range map[*box]string{m1: "a c", w1: "bad", w2: "a b c"} {
		if got := strings.Join(b.log, " "); got != want {
			t.Errorf("%s did %q, want %q", b.name, got, want)
		}
	}
	if m1.lease != nil {
		t.Error("the lock is still held")
	}
}

func TestAFailedMasterStopsTheRun(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no") }}
	p := plan.Plan{Phases: []plan.Phase{{Name: "one", Stages: []plan.Stage{stage("a", job("m1", bad)), stage("b", job("w1", step{name: "never"}))}}}}
	env := site(m1, w1)
	env.Replan = same(p)
	if err := Apply(t.Context(), p, env); err == nil {
		t.Error("no error")
	}
	if len(w1.log) > 0 {
		t.Errorf("w1 did %v", w1.log)
	}
}

func TestWhatWasNotAnnouncedStopsTheRun(t *testing.T) {
	m1 := newBox("m1")
	env := site(m1)
	surprise := struct{ step }{step{name: "surprise"}}
	p := phases("one two", stage("x", job("m1", step{name: "a"})), stage("x", job("m1", step{name: "b"})))
	env.Replan = inOrder(p, phases("two", stage("x", job("m1", surprise))))
	err := Apply(t.Context(), p, env)
	if err == nil || !strings.Contains(err.Error(), "was not in the plan") {
		t.Errorf("error %v", err)
	}
}

func TestWhatDidNotLastIsAnError(t *testing.T) {
	m1 := newBox("m1")
	env := site(m1)
	p := phases("one two", stage("x", job("m1", step{name: "a"})), stage("x", job("m1", step{name: "b"})))
	env.Replan = same(p)
	err := Apply(t.Context(), p, env)
	if err == nil || !strings.Contains(err.Error(), "did not last") {
		t.Errorf("error %v", err)
	}
}

func TestALockHeldByAnotherIsRespected(t *testing.T) {
	m1 := newBox("m1")
	m1.lease = map[string]string{"owner": "anna@laptop", "reason": "upgrade"}
	early := step{name: "upload", early: true}
	env := site(m1)
	late := stage("x", job("m1", step{name: "change"}))
	err := Apply(t.Context(), phases("early late", stage("e", job("m1", early)), late), env)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Owner != "anna@laptop" {
		t.Errorf("error %v", err)
	}
	if got := strings.Join(m1.log, " "); got != "upload" {
		t.Errorf("m1 did %q", got)
	}
	if m1.lease == nil {
		t.Error("the other's lock is gone")
	}
}

func TestALaterRunIsNotOverwritten(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	overtaken := step{name: "a", apply: func(_ context.Context, b *box) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		generation, _ := strconv.Atoi(strings.TrimSpace(b.files[lockDir+"/generation"]))
		b.files[lockDir+"/generation"] = strconv.Itoa(generation + 1)
		return nil
	}}
	p := phases("one", stage("x", job("w1", overtaken, step{name: "never"})))
	env := site(m1, w1)
	env.Replan = same(p)
	err := Apply(t.Context(), p, env)
	if err == nil || !strings.Contains(err.Error(), "a later run") {
		t.Errorf("error %v", err)
	}
	if len(w1.log) != 1 {
		t.Errorf("w1 did %v", w1.log)
	}
}

func TestAnInterruptLetsTheActionFinish(t *testing.T) {
	m1 := newBox("m1")
	ctx, interrupt := context.WithCancelCause(t.Context())
	finished := false
	slow := step{name: "slow", apply: func(ctx context.Context, _ *box) error {
		interrupt(errors.New("interrupted"))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
			finished = true
			return nil
		}
	}}
	p := phases("one", stage("x", job("m1", slow, step{name: "never"})))
	env := site(m1)
	env.Replan = same(p)
	err := Apply(ctx, p, env)
	if err == nil || !strings.Contains(err.Error(), "interrupted") || !finished {
		t.Errorf("finished %v, error %v", finished, err)
	}
	if got := strings.Join(m1.log, " "); got != "slow" {
		t.Errorf("m1 did %q", got)
	}
	if m1.lease != nil {
		t.Error("the lock is still held")
	}
}

func TestTheJournalIsWrittenBeforeTheChange(t *testing.T) {
	m1 := newBox("m1")
	m1.files["/etc/theirs"] = "old"
	change := step{name: "change", touches: []components.Touch{{Kind: components.KindFile, Name: "/etc/theirs"}, {Kind: components.KindFile, Name: "/etc/new"}},
		apply: func(_ context.Context, b *box) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			var entries []journal.Entry
			for name, text := range b.files {
				if strings.HasPrefix(name, components.Journal) {
					file, err := journal.Decode([]byte(text))
					if err != nil {
						return err
					}
					entries = append(entries, file.Entries...)
				}
			}
			if len(entries) != 2 || entries[0].Absent || !entries[1].Absent || entries[0].Now != "ours" {
				return fmt.Errorf("journal holds %+v", entries)
			}
			if old, err := entries[0].Content(); err != nil || string(old) != "old" {
				return fmt.Errorf("old content %q, %v", old, err)
			}
			return nil
		}}
	p := phases("one", stage("x", job("m1", change)))
	env := site(m1)
	env.Replan = same(p)
	if err := Apply(t.Context(), p, env); err != nil {
		t.Fatal(err)
	}
}

func TestWhatChangedBeforeTheLockWasHeldIsSeen(t *testing.T) {
	m1 := newBox("m1")
	env := site(m1)
	env.Replan = same(plan.Plan{}) // another run has done it meanwhile
	if err := Apply(t.Context(), phases("one", stage("x", job("m1", step{name: "late"}))), env); err != nil || len(m1.log) > 0 {
		t.Errorf("did %v, error %v", m1.log, err)
	}
}

func TestAFailedMachineIsNotPlannedFor(t *testing.T) {
	m1, w1 := newBox("m1"), newBox("w1")
	bad := step{name: "bad", apply: func(context.Context, *box) error { return errors.New("no") }}
	last := stage("wait", job("m1", step{name: "wait"}))
	p := phases("one two", stage("x", job("w1", bad)), last)
	env := site(m1, w1)
	var left []string
	env.Replan = func(_ context.Context, failed []string) (plan.Plan, error) {
		if left = failed; len(failed) > 0 {
			return phases("two", last), nil
		}
		return p, nil
	}
	if err := Apply(t.Context(), p, env); err == nil || !slices.Equal(left, []string{"w1"}) {
		t.Errorf("planned without %v, error %v", left, err)
	}
}

func TestPhasesThatUndoEachOtherEnd(t *testing.T) {
	m1 := newBox("m1")
	env := site(m1)
	a, b := stage("x", job("m1", step{name: "a"})), stage("x", job("m1", step{name: "b"}))
	env.Replan = inOrder(phases("one two three", a, b, b), phases("two three", b, b), phases("one three", a, b))
	err := Apply(t.Context(), phases("one two three", a, b, b), env)
	if err == nil || !strings.Contains(err.Error(), "m1: a: did not last") {
		t.Errorf("error %v", err)
	}
}
