package remove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/removal"
)

// NewCommand returns "agent remove".
func NewCommand() *cobra.Command {
	var root string
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "remove",
		Short: "Take everything of ours away from this machine",
		Long: `Reads a removal list (JSON) from standard input and takes away what is in it
and there. Prints a report: what was removed, what was kept on purpose, and what
should be gone and is not; where there is any of the last the exit status is 1.
What a newer provision's list has and this agent does not know is of the last.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			list, beyond, err := decode(command.InOrStdin())
			if err != nil {
				return fmt.Errorf("remove: list: %w", err)
			}
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			unlock, err := lock(ctx, filepath.Join(root, components.State))
			if err != nil {
				return fmt.Errorf("remove: %w", err)
			}
			defer unlock()
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("remove: %w", err)
			}
			r := &remover{list: list, report: removal.Report{Residue: beyond}, effects: effects{
				root: root, self: self, run: runCommand, kill: func(pid int) error { return unix.Kill(pid, unix.SIGKILL) },
				mounts: mountPoints, unmount: unix.Unmount, network: kernel{root},
			}}
			r.remove(ctx)
			return answer(command.OutOrStdout(), r.report)
		},
	}
	command.Flags().StringVar(&root, "root", "/", "prefix of every path")
	command.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "when to give up")
	return command
}

func answer(out io.Writer, report removal.Report) error {
	report.Removed = append([]string{}, report.Removed...) // [], not null
	report.Kept = append([]removal.Kept{}, report.Kept...)
	report.Residue = append([]removal.Kept{}, report.Residue...)
	if err := json.NewEncoder(out).Encode(report); err != nil {
		return err
	}
	if n := len(report.Residue); n > 0 {
		return fmt.Errorf("remove: %d things are left: %s: %s", n, report.Residue[0].What, report.Residue[0].Why)
	}
	return nil
}

// Nothing but these, and what is below them, is ever deleted as a folder,
// whatever a list says.
var deletable = []string{
	components.Root, components.Etc, components.State, components.Run,
	"/var/lib/kubelet", "/var/log/pods", "/var/log/containers",
}

var (
	unitName = regexp.MustCompile(`^provision[a-z0-9.-]*\.(service|target|slice|timer|socket|path)$`)
	group    = regexp.MustCompile(`^(provision|kubepods)[a-z0-9.-]*$`)
)

func check(list removal.List) error {
	for _, unit := range list.Units {
		if !unitName.MatchString(unit) {
			return fmt.Errorf("unit %.80q is not ours", unit)
		}
	}
	for _, things := range []removal.Things{list.Own, list.Shared} {
		for _, dir := range slices.Concat(things.Dirs, things.Mounts) {
			if !slices.ContainsFunc(deletable, func(top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }) || path.Clean(dir) != dir {
				return fmt.Errorf("folder %.80q is not ours", dir)
			}
		}
		for _, name := range things.Cgroups {
			if !group.MatchString(name) {
				return fmt.Errorf("control group %.80q is not ours", name)
			}
		}
		for _, file := range things.Files {
			if path.Clean(file.Path) != file.Path || !path.IsAbs(file.Path) || !strings.Contains(path.Base(file.Path), "provision") {
				return fmt.Errorf("file %.80q is not ours", file.Path)
			}
		}
		for _, name := range things.Networks {
			if name != "provision" {
				return fmt.Errorf("CNI's network %.80q is not ours", name)
			}
		}
	}
	for _, table := range slices.Concat(list.Own.Tables, list.Shared.Tables) {
		if families[table.Family] == 0 || table.Name == "" {
			return fmt.Errorf("table %.20q %.80q: the family is unknown, or it has no name", table.Family, table.Name)
		}
	}
	for _, name := range slices.Concat([]string{list.Journal}, list.Evidence, list.Own.Empty, list.Shared.Empty) {
		if !path.IsAbs(name) || path.Clean(name) != name {
			return fmt.Errorf("%.80q is no clean absolute path", name)
		}
	}
	return nil
}

// runCommand runs a command of the machine, for at most a minute: a reload of
// systemd was seen to take 30 s on a machine whose host was busy.
func runCommand(ctx context.Context, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0"}
	out, err := command.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return out, &components.ExitError{Argv: argv, Code: exit.ExitCode(), Stderr: exit.Stderr}
	}
	return out, err
}
