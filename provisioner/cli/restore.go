package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"provision/components/restore"
	"provision/provisioner/backup"
	"provision/provisioner/plan"
	"provision/provisioner/run"
)

func (a *app) restoreCommand() *cobra.Command {
	var identity string
	var yes bool
	cmd := a.withVariables(&cobra.Command{
		Use:   "restore FILE BACKUP",
		Short: "Bring a cluster back from a backup, onto blank machines",
		Long: `Make the machines of the cluster file the cluster that the backup is of: the same objects
with the same UIDs, the same authorities and keys, so that tokens and workers that were
left go on. Masters must be blank; their names and addresses may be others than before.
The backup is checked to its end before any machine is asked. Machines that only the
backup knows are forgotten, and nothing is asked of them: they may be alive.

    provision restore cluster.hcl site.backup
    provision restore cluster.hcl site.backup --identity key.txt

The passphrase is $PROVISION_PASSPHRASE, or asked for; --identity names a file of age's
with the key of a recipient. A run that was stopped at any moment is made good by
running it again; until then 'up' refuses.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return misuse{errors.New("restore takes the cluster file and the backup: provision restore FILE BACKUP")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.restore(cmd.Context(), args[0], args[1], identity, yes)
		},
	})
	cmd.Flags().StringVar(&identity, "identity", "", "a `file` of age's with the key that opens the backup")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&a.json, "json", false, "print events as JSON lines (implies --yes)")
	return cmd
}

func (a *app) inspectCommand() *cobra.Command {
	var identity string
	var file bool
	cmd := &cobra.Command{
		Use:   "inspect BACKUP",
		Short: "Check a backup, and say what it is of",
		Long: `Read a backup to its end, check all of it, and print what it is of. With --file print
the cluster file that is in it. No machine is asked.

    provision inspect site.backup
    provision inspect site.backup --file > cluster.hcl`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return misuse{errors.New("inspect takes a backup: provision inspect BACKUP")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.inspect(args[0], identity, file) },
	}
	cmd.Flags().StringVar(&identity, "identity", "", "a `file` of age's with the key that opens the backup")
	cmd.Flags().BoolVar(&file, "file", false, "print its cluster file")
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

// passphrase is $PROVISION_PASSPHRASE, else what is typed; twice where it is new.
func (a *app) passphrase(fresh bool) (string, error) {
	words := os.Getenv("PROVISION_PASSPHRASE")
	if words == "" {
		in, ok := a.stdin.(*os.File)
		if !ok || !term.IsTerminal(int(in.Fd())) {
			return "", misuse{errors.New("no passphrase: set PROVISION_PASSPHRASE, since standard input is no terminal to ask on")}
		}
		prompts := []string{"Passphrase: "}
		if fresh {
			prompts = append(prompts, "The same once more: ")
		}
		for _, prompt := range prompts {
			fmt.Fprint(a.stderr, prompt)
			typed, err := term.ReadPassword(int(in.Fd()))
			fmt.Fprintln(a.stderr)
			if err != nil {
				return "", err
			}
			if words != "" && words != string(typed) {
				return "", errors.New("those were two different passphrases; nothing was written")
			}
			words = string(typed)
		}
	}
	if fresh && len(words) < shortestPassphrase {
		return "", fmt.Errorf("a passphrase of less than %d characters is guessed: take a longer one, or --recipient", shortestPassphrase)
	}
	return words, nil
}

const shortestPassphrase = 12

// identities are what a backup is opened with.
func (a *app) identities(file string) ([]age.Identity, error) {
	if file == "" {
		words, err := a.passphrase(false)
		if err != nil {
			return nil, err
		}
		if words == "" {
			return nil, errors.New("an empty passphrase opens nothing")
		}
		opens, err := age.NewScryptIdentity(words)
		return []age.Identity{opens}, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := age.ParseIdentities(f)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key of age's (AGE-SECRET-KEY-1...)", file) // its own error may quote the file
	}
	return all, nil
}

// opened is a backup that was read to its end and found whole.
type opened struct {
	path       string
	identities []age.Identity
	contents   backup.Contents
	parts      backup.Parts
}

var _ restore.Backup = (*opened)(nil)

func (a *app) openBackup(path, identity string) (*opened, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	with, err := a.identities(identity)
	if err != nil {
		return nil, err
	}
	b := &opened{path: path, identities: with}
	b.contents, b.parts, err = b.read(io.Discard)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (b *opened) read(snapshot io.Writer) (backup.Contents, backup.Parts, error) {
	file, err := os.Open(b.path)
	if err != nil {
		return backup.Contents{}, backup.Parts{}, err
	}
	defer file.Close()
	contents, parts, err := backup.Read(file, snapshot, b.identities...)
	if err != nil {
		err = fmt.Errorf("%s %w", b.path, err)
	}
	return contents, parts, err
}

// Authorities is the export of a master's.
func (b *opened) Authorities() []byte { return b.parts.Authorities }

// PresharedKey is the overlay's, or nothing.
func (b *opened) PresharedKey() []byte { return b.parts.PresharedKey }

// Snapshot reads the file once more, so that no secret of it lies on this computer.
func (b *opened) Snapshot(ctx context.Context, to io.Writer) error {
	contents, _, err := b.read(untilDone{ctx, to})
	if err == nil && contents.ID != b.contents.ID {
		err = fmt.Errorf("%s was replaced meanwhile", b.path)
	}
	return err
}

type untilDone struct {
	ctx context.Context
	to  io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	return u.to.Write(p)
}

func (a *app) inspect(path, identity string, file bool) error {
	b, err := a.openBackup(path, identity)
	if err != nil {
		return err
	}
	if file {
		_, err := a.stdout.Write(b.parts.HCL)
		return err
	}
	if a.json {
		return a.printer().Document(b.contents)
	}
	var names []string
	for _, m := range b.contents.Machines {
		names = append(names, fmt.Sprintf("%s (%s, %s)", m.Name, m.Role, m.Address))
	}
	return a.printer().Table([]string{"BACKUP", path}, [][]string{
		{"cluster", b.contents.Cluster},
		{"kubernetes", b.contents.Kubernetes},
		{"taken", b.contents.Taken.Format(time.RFC3339)},
		{"id", b.contents.ID},
		{"machines", strings.Join(names, ", ")},
	})
}

func (a *app) restore(ctx context.Context, path, from, identity string, yes bool) error {
	if _, err := a.load(path); err != nil {
		return err
	}
	b, err := a.openBackup(from, identity)
	if err != nil {
		return err
	}
	sums, err := authoritySums(b.parts.Authorities)
	if err != nil {
		return fmt.Errorf("%s %w", from, err)
	}
	of := plan.Backup{
		ID: b.contents.ID, Cluster: b.contents.Cluster, Kubernetes: b.contents.Kubernetes, Network: b.contents.Network,
		Sums: sums,
	}
	s, err := a.open(ctx, path)
	if err != nil {
		return err
	}
	defer s.close()
	s.backup = b
	found, err := s.look(ctx)
	if err := errors.Join(err, s.lostMasters(), s.strangers()); err != nil {
		return err
	}
	s.leaveFenced(found)
	if err := problems(plan.CheckRestore(s.cluster, found, of)); err != nil {
		return err
	}
	s.answered = found.Cluster.Reachable
	p := plan.Restore(s.cluster, found, of, time.Now())
	printer := a.printer()
	if err := s.consent(ctx, printer, p, "Do this?", yes); err != nil {
		return err
	}
	observer, finish := printer.Progress(p)
	env := s.env("restore", observer, func(found plan.Facts) plan.Plan {
		s.answered = s.answered || found.Cluster.Reachable
		return plan.Restore(s.cluster, found, of, time.Now())
	})
	s.queue(p, found)
	env.Try = trial{machine: env.Machine, cluster: s.cluster, found: found}.run
	err = run.Apply(ctx, p, env)
	finish(err)
	return errors.Join(err, s.leftOut())
}
