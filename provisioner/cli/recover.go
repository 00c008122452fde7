package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/etcd"
	"provision/provisioner/config"
	"provision/provisioner/plan"
	"provision/provisioner/run"
	"provision/provisioner/view"
)

func (a *app) recoverCommand() *cobra.Command {
	var from plan.Snapshot
	var yes bool
	cmd := a.withFile(&cobra.Command{
		Use:   "recover FILE --from MASTER",
		Short: "Begin again with one master's data, or with a snapshot that it keeps",
		Long: `Make a new etcd of one member from the data of a master that is left, when so many masters
are lost for good that the rest is no majority. First it shows what each master that answers
has, what is kept, and who is forgotten, and asks for the cluster's name. Without --from it
only shows, and says which has most.

    provision recover cluster.hcl
    provision recover cluster.hcl --from m2

It refuses where nothing is lost: where etcd has a quorum, or enough masters answer with
their data to form one. What the lost masters had and this one had not is lost. Workers and
their pods go on meanwhile; watches are told to begin anew. The data as they were stay on
the machines. Afterwards 'provision up' takes blank machines in, in the lost ones' place or
under other names. Never power a lost master on again with the disk that it had: two
clusters would answer. 'up' refuses such data.

With --snapshot it goes back to a snapshot that the master keeps (each six hours, and before
upgrades), be there a quorum or not: for what somebody deleted by mistake. All that was
written since is lost. Without such a name it says which there are; one of another minor
version of Kubernetes is refused.

    provision recover cluster.hcl --from m2 --snapshot etcd-20260102T030405Z.db

A run that was stopped at any moment is made good by running it again.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.recover(cmd.Context(), args[0], from, yes)
		},
	})
	cmd.Flags().StringVar(&from.Machine, "from", "", "the `master` whose data are kept")
	cmd.Flags().StringVar(&from.Name, "snapshot", "", "the `name` of a snapshot on that master to go back to")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (wants --yes as well)")
	if err := cmd.RegisterFlagCompletionFunc("from", a.completeMasters); err != nil {
		panic(err) // the flag is there, one line above
	}
	return cmd
}

// completeMasters completes --from.
func (a *app) completeMasters(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	words, directive := a.completeMachines(cmd, args, word)
	return slices.DeleteFunc(words, func(word string) bool { return !strings.Contains(word, "\tmaster ") }), directive
}

func (a *app) recover(ctx context.Context, path string, from plan.Snapshot, yes bool) error {
	switch {
	case a.json && !yes:
		return misuse{errors.New("with --json nobody can be asked; --yes goes on without")}
	case from.Name != "" && from.Machine == "":
		return misuse{errors.New("--snapshot goes with --from MASTER, on which it is")}
	}
	if err := a.knowMaster(path, from.Machine); err != nil {
		return err
	}
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	left, err := s.remains(ctx)
	if err != nil {
		return err
	}
	if from.Name != "" {
		err = s.chooseSnapshot(ctx, left, from)
	} else {
		err = s.chooseData(left, from.Machine)
	}
	if err != nil {
		return err
	}
	p := plan.Recover(s.cluster, left, from, time.Now())
	printer := a.printer()
	if !a.json {
		s.showKept(left, from)
		if err := printer.Plan(p); err != nil {
			return err
		}
	}
	if err := s.agreeByName(ctx, yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("recover", observer, nil)
	env.Masters = left.Keepers(s.cluster)
	env.Replan = func(context.Context, []string) (plan.Plan, error) { return p, nil } // nothing in it depends on what was done
	err = run.Apply(ctx, p, env)
	finish(err)
	if err == nil && !a.json {
		fmt.Fprintf(a.stdout, "%s serves alone. Put blank machines in the place of masters that are lost, or take those out of %s, and then: provision up %s\n", from.Machine, path, path)
	}
	return err
}

// chooseData shows what there is, and refuses where nothing is lost.
func (s *session) chooseData(left plan.Remains, from string) error {
	if err := problems(append(plan.Strangers(s.cluster, left.Facts), left.Needless(s.cluster)...)); err != nil {
		return errors.Join(s.lostMasters(), err)
	}
	if !s.app.json {
		if err := s.showStores(s.app.printer(), left); err != nil {
			return err
		}
	}
	return problems(left.Choose(s.cluster, from))
}

// chooseSnapshot refuses a snapshot that there is no going back to.
func (s *session) chooseSnapshot(ctx context.Context, left plan.Remains, from plan.Snapshot) error {
	kept, err := s.keptSnapshots(ctx)
	if err != nil {
		return err
	}
	if err := problems(append(plan.Strangers(s.cluster, left.Facts), left.GoBack(s.cluster, from, kept)...)); err != nil {
		return errors.Join(s.lostMasters(), err)
	}
	return nil
}

// knowMaster refuses a --from that the file does not have as a master. A file
// that is wrong is left to whoever opens it.
func (a *app) knowMaster(path, from string) error {
	if from == "" {
		return nil
	}
	if err := a.know(path, []string{from}); err != nil {
		return err
	}
	quiet := app{stdin: a.stdin, stdout: io.Discard, stderr: io.Discard, vars: a.vars, varFiles: a.varFiles}
	file, err := quiet.load(path)
	if err != nil {
		return nil
	}
	for _, m := range file.Machines {
		if m.Name == from && m.Role != config.Master {
			return misuse{fmt.Errorf("%s: is a %s; etcd's data are on masters", from, m.Role)}
		}
	}
	return nil
}

func problems(found []plan.Problem) error {
	var errs []error
	for _, problem := range found {
		if problem.Machine == "" { // of the cluster as a whole
			errs = append(errs, errors.New(problem.Text))
			continue
		}
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}

// remains looks at the machines, and at the data of each master that has any.
func (s *session) remains(ctx context.Context) (plan.Remains, error) {
	found, err := s.lookAtMachines(ctx)
	left := plan.Remains{Facts: found, Stores: map[string]etcd.Store{}, Errors: map[string]error{}}
	if err != nil {
		return left, err
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	for _, m := range s.cluster.Masters() {
		f, answered := found.Machines[m.Name]
		if !answered || !f.Etcd.Data || f.Etcd.Leader != "" || !slices.Contains(f.Bundles, s.cluster.Bundle.ID) {
			continue
		}
		all.Go(func() {
			store, err := lookAtStore(ctx, s.clients[m.Name], s.cluster.BundleDir()+"/bin/node")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				left.Errors[m.Name] = err
				return
			}
			left.Stores[m.Name] = store
		})
	}
	all.Wait()
	return left, context.Cause(ctx)
}

// storeWithin bounds a look at a store, which is copied and read whole.
const storeWithin = 5 * time.Minute

func lookAtStore(ctx context.Context, on components.Machine, node string) (etcd.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	out, err := on.Run(ctx, []string{node, "etcd-recover", "look"}, nil)
	if err != nil {
		return etcd.Store{}, err
	}
	return etcd.ParseStore(out)
}

// showStores prints what each master has.
func (s *session) showStores(printer *view.Printer, left plan.Remains) error {
	var rows [][]string
	for _, m := range s.cluster.Masters() {
		store, has := left.Stores[m.Name]
		_, answered := left.Facts.Machines[m.Name]
		row := []string{m.Name, "", "", "", ""}
		switch {
		case has:
			row = []string{m.Name, fmt.Sprintf("%d/%d", store.Term, store.Index), fmt.Sprint(store.Revision), fmt.Sprint(store.Keys), written(store)}
			if store.Learner() {
				row[4] += ", no voter yet"
			}
		case !answered:
			row[4] = fmt.Sprintf("does not answer: %v", s.unreach[m.Name])
		case left.Errors[m.Name] != nil:
			row[4] = fmt.Sprintf("cannot be read: %v", left.Errors[m.Name])
		default:
			row[4] = "no data"
		}
		rows = append(rows, row)
	}
	return printer.Table([]string{"MASTER", "LOG (TERM/ENTRY)", "REVISION", "KEYS", "LAST WRITTEN"}, rows)
}

func written(store etcd.Store) string {
	return store.Written.UTC().Format("2006-01-02 15:04:05 UTC")
}

// showKept says what the choice means.
func (s *session) showKept(left plan.Remains, from plan.Snapshot) {
	out := s.app.stdout
	if from.Name != "" {
		fmt.Fprintf(out, "\nKept: what %s on %s has.\nLost: all that was written since: objects made since are gone, those deleted since are back.\n", from.Name, from.Machine)
	} else {
		store := left.Stores[from.Machine]
		fmt.Fprintf(out, `
Kept: what %[1]s has, %[2]d keys at revision %[3]d, last written %[4]s.
Lost: what was written on the other masters and had not come to %[1]s.
Forgotten: %[5]s. Never power one of them on again with the disk that it had.
`, from.Machine, store.Keys, store.Revision, written(store), view.Clean(strings.Join(left.Forgotten(from.Machine), ", ")))
	}
	for _, name := range left.Keepers(s.cluster) {
		if name != from.Machine && left.Facts.Machines[name].Etcd.Data {
			fmt.Fprintf(out, "Joins anew: %s, which answers; its data are set aside there.\n", name)
		}
	}
	for _, m := range s.cluster.Masters() {
		if s.unreach[m.Name] != nil && from.Name != "" {
			fmt.Fprintf(out, "Forgotten: %s, which does not answer. Never power it on again with the disk that it had.\n", m.Name)
		}
	}
	fmt.Fprintln(out)
}
