package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"provision/components"
	"provision/provisioner/plan"
	"provision/provisioner/run"
	"provision/provisioner/ssh"
	"provision/provisioner/view"
)

func (a *app) planCommand() *cobra.Command {
	cmd := a.withFile(&cobra.Command{
		Use:   "plan FILE",
		Short: "Show what up would do, and change nothing",
		Long: `Look at every machine and print what 'provision up' would do, in order. Nothing is
changed. With --json the plan is one JSON document; it never holds a secret.

    provision plan cluster.hcl
    provision plan cluster.hcl --json | jq '.phases[].name'

Exit status: 0 nothing to do, 2 there are changes, 1 something is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, _, p, err := a.prepare(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer s.close()
			return s.show(p)
		},
	})
	cmd.Flags().BoolVar(&a.json, "json", false, "print the plan as JSON")
	return cmd
}

// show prints a plan, and is plan's exit status.
func (s *session) show(p plan.Plan) error {
	if err := errors.Join(s.app.printer().Plan(p), s.leftOut()); err != nil {
		return err // a machine that was not looked at may need anything
	}
	if !p.Empty() {
		return status(exitPending)
	}
	return nil
}

func (a *app) upCommand() *cobra.Command {
	var yes bool
	fanOut := true
	cmd := a.withFile(&cobra.Command{
		Use:   "up FILE",
		Short: "Make the machines what the file says",
		Long: `Look at every machine, show what is to be done, ask, and do it. What is right already
is left alone, so running it again is how to go on after an interruption and how to
repair what drifted. Machines that cannot become the cluster are refused before anything
is changed, each with a sentence that says what would be right; new ones first try to
reach the others at the ports that the cluster needs.

    provision up cluster.hcl
    provision up cluster.hcl --yes --var-file site.vars

Addons of the file are applied when the rest is ready, and waited for; one that left the file
is deleted.

Machines that left the file leave the cluster: emptied of pods, cleaned, and forgotten. One
that does not answer is taken for dead, unless its Node is Ready, and is not cleaned.

A worker that does not answer is left out, and named in the end. So is a master, while
those that answer are a majority and no member of etcd is to come or go.

More than three machines that need the bundle hand it on to each other, each checked
against this computer's; where they do not reach each other, all comes from here.

Ctrl-C stops after the actions at hand, which have ten seconds to end; an upload stops
at once. Exit status 130. Ctrl-C once more ends at once. Run the same command to go on:
also after that, and after anything else that ended it.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.up(cmd.Context(), args[0], yes, fanOut) },
	})
	cmd.Flags().BoolVar(&fanOut, "fan-out", true, "let machines hand the bundle on to each other; =false sends it to each from here")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes)")
	return cmd
}

// prepare connects, looks and plans. The caller closes the session.
func (a *app) prepare(ctx context.Context, path string) (*session, plan.Facts, plan.Plan, error) {
	s, err := a.open(ctx, path)
	if err != nil {
		return nil, plan.Facts{}, plan.Plan{}, err
	}
	found, p, err := s.prepare(ctx)
	return s, found, p, err
}

// prepare looks and plans. Where that fails the session is closed.
func (s *session) prepare(ctx context.Context) (plan.Facts, plan.Plan, error) {
	found, err := s.begin(ctx, s.refuse)
	if err != nil {
		s.close()
		return plan.Facts{}, plan.Plan{}, err
	}
	return found, plan.Make(s.cluster, found, time.Now()), nil
}

// begin looks for the first time, and refuses what stands in the way of what is wanted.
func (s *session) begin(ctx context.Context, refuse func(plan.Facts) error) (plan.Facts, error) {
	found, err := s.look(ctx)
	if err == nil && !found.Cluster.Reachable && plan.Starting(s.cluster, found) {
		found, err = untilReachable(ctx, apiStarts, func() (plan.Facts, error) { return s.look(ctx) })
		if errors.Is(err, errSilentAPI) {
			err = nil // it is for the run to mend
		}
	}
	if err == nil {
		err = s.meet(ctx, found)
	}
	if err == nil {
		s.leaveFenced(found)
		err = refuse(found)
	}
	s.answered = found.Cluster.Reachable
	return found, err
}

// apiStarts is how long a look waits for API servers that run and do not answer yet, as
// after a run that was killed: what is planned without them is only half of it.
const apiStarts = 15 * time.Second

// refuse says what stands in the way before anything is changed: a master that
// cannot be reached, a machine that may be another's, or one that cannot serve.
func (s *session) refuse(found plan.Facts) error {
	return s.refuseFor(plan.Preflight(s.cluster, found))
}

func (s *session) refuseFor(problems []plan.Problem) error {
	errs := []error{s.tooManyLost(), s.strangers()}
	for _, problem := range problems {
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}

// tooManyLost says that so many masters do not answer that the others are no
// majority: they could neither keep the lock nor serve.
func (s *session) tooManyLost() error {
	err, lost, masters := s.lostMasters(), 0, s.cluster.Masters()
	for _, m := range masters {
		if s.unreach[m.Name] != nil {
			lost++
		}
	}
	switch {
	case lost <= (len(masters)-1)/2:
		return nil
	case len(masters) == 1:
		return fmt.Errorf("%w\nnothing is done while a master does not answer; a worker would be left out", err)
	}
	return fmt.Errorf("%w\nnothing is done while %d of %d masters do not answer; %d would be left out", err, lost, len(masters), (len(masters)-1)/2)
}

// strangers are machines that show another host key than the known one. They are
// not left out as one that is off is: somebody may be listening.
func (s *session) strangers() error {
	var errs []error
	said := s.tooManyLost() != nil // and so of every master why
	for _, m := range s.cluster.Machines {
		var key *ssh.HostKeyError
		if err := s.unreach[m.Name]; errors.As(err, &key) && !(said && m.Role == components.Master) {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// silent says which machines do not answer, and why.
func (s *session) silent() error {
	var errs []error
	for _, m := range s.cluster.Machines {
		if err, lost := s.unreach[m.Name]; lost {
			errs = append(errs, fmt.Errorf("%s: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

// leftOut says which workers could not be reached: the rest is done all the
// same, and the command fails in the end.
func (s *session) leftOut() error {
	var errs []error
	for _, m := range s.cluster.Machines {
		if err, lost := s.unreach[m.Name]; lost {
			errs = append(errs, fmt.Errorf("%s: left out: %w", m.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (a *app) up(ctx context.Context, path string, yes, fanOut bool) error {
	s, found, p, err := a.prepare(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	s.alone = !fanOut
	return s.carryOut(ctx, found, p, "up", yes, func(p plan.Plan) plan.Plan { return p })
}

// carryOut shows a plan of Make's, asks, and does it. of is the part of each plan that
// is wanted.
func (s *session) carryOut(ctx context.Context, found plan.Facts, p plan.Plan, reason string, yes bool, of func(plan.Plan) plan.Plan) error {
	printer := s.app.printer()
	if p = of(p); p.Empty() {
		return errors.Join(printer.NoChanges(s.reached()), s.leftOut())
	}
	if err := s.consent(ctx, printer, p, "Do this?", yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env(reason, observer, func(found plan.Facts) plan.Plan {
		s.answered = s.answered || found.Cluster.Reachable
		return of(plan.Rest(s.cluster, found, time.Now()))
	})
	if !s.alone {
		s.queue(p, found)
	}
	env.Try = trial{machine: env.Machine, cluster: s.cluster, found: found}.run
	err := run.Apply(ctx, p, env)
	finish(err)
	s.uncleaned(context.WithoutCancel(ctx), printer)
	return errors.Join(err, s.leftOut())
}

// reached is how many machines answer.
func (s *session) reached() int {
	n := 0
	for _, m := range s.cluster.Machines {
		if s.unreach[m.Name] == nil {
			n++
		}
	}
	return n
}

// env is what a run of this session works with. replan is what is still to do; a
// master that was silent from the beginning does not end the run.
func (s *session) env(reason string, observer run.Observer, replan func(found plan.Facts) plan.Plan) run.Env {
	var masters []string
	silent := map[string]bool{}
	for _, m := range s.cluster.Masters() {
		masters = append(masters, m.Name)
		silent[m.Name] = s.unreach[m.Name] != nil
	}
	masters = append(masters, s.keepers...) // somebody with yesterday's file counts them
	for _, m := range s.leaving {
		silent[m.Name] = s.unreach[m.Name] != nil
	}
	if s.claim.file == nil {
		s.claim = newClaim()
	}
	return run.Env{
		Machine:  func(name string) (components.Machine, error) { return s.machine(name) },
		Site:     site{s},
		Masters:  masters,
		Agent:    s.cluster.Agent(),
		Owner:    s.claim.owner(),
		Alive:    alive,
		Reason:   reason,
		Observer: observer,

		Generation: s.generation,

		Replan: func(ctx context.Context, failed []string) (plan.Plan, error) {
			found, err := s.lookAgain(ctx, failed, silent)
			if err != nil {
				return plan.Plan{}, err
			}
			return replan(found), nil
		},
	}
}

// consent shows a plan, warns of what is left out, and asks unless yes was said
// already. Who wants JSON has said so: there is nobody to ask.
func (s *session) consent(ctx context.Context, printer *view.Printer, p plan.Plan, question string, yes bool) error {
	if s.app.json {
		return nil
	}
	if err := printer.Plan(p); err != nil {
		return err
	}
	if left := s.leftOut(); left != nil {
		printer.Say("warning: ", left)
	}
	if yes {
		return nil
	}
	return s.app.agree(ctx, question)
}

// agree asks on the terminal. Without one nothing can be asked, and so nothing
// is agreed.
func (a *app) agree(ctx context.Context, question string) error {
	line, err := a.ask(ctx, question+" [y/N] ", "standard input is no terminal to ask on; --yes goes on without asking")
	if err == nil && !strings.EqualFold(line, "y") {
		err = errors.New("not agreed; nothing was changed")
	}
	return err
}

// agreeByName asks for the cluster's name where something is lost for good, unless yes
// was said already.
func (s *session) agreeByName(ctx context.Context, yes bool) error {
	if yes {
		return nil
	}
	typed, err := s.app.ask(ctx, fmt.Sprintf("Type the cluster's name (%s) to do this: ", s.cluster.Name), "standard input is no terminal to ask on; --yes goes on without asking")
	if err == nil && typed != s.cluster.Name {
		err = errors.New("not agreed; nothing was changed")
	}
	return err
}

// ask returns the line that is typed on the terminal, and "" where none is or ctx
// ends; without a terminal the error says without.
func (a *app) ask(ctx context.Context, prompt, without string) (string, error) {
	in, ok := a.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", misuse{errors.New(without)}
	}
	fmt.Fprint(a.stderr, prompt)
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(in).ReadString('\n') // an end of input is no yes
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", nil
	case line := <-answer:
		return line, nil
	}
}

func (a *app) printer() *view.Printer {
	return view.New(a.stdout, a.stderr, a.json)
}
