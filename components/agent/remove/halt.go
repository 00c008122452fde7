package remove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/removal"
)

// NewFenceCommand returns "agent fence".
func NewFenceCommand() *cobra.Command {
	var root string
	var undo bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "fence",
		Short: "Stop everything of ours on this machine, for good",
		Long: `Stops every unit of ours and has systemd not start them again, ends every process of
theirs and of pods, unmounts pods' volumes, and looks whether all that is so. Prints a
report; where anything is left the exit status is 1. With --undo the units that were
enabled before are, and start. Both may be repeated.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			unlock, err := lock(ctx, filepath.Join(root, components.State))
			if err != nil {
				return fmt.Errorf("fence: %w", err)
			}
			defer unlock()
			r := &remover{list: removal.Inventory(), effects: effects{
				root: root, run: runCommand, kill: func(pid int) error { return unix.Kill(pid, unix.SIGKILL) },
				mounts: mountPoints, unmount: unix.Unmount,
			}}
			if undo {
				return r.resume(ctx)
			}
			if err := r.halt(ctx); err != nil {
				return err
			}
			return answer(command.OutOrStdout(), r.report)
		},
	}
	command.Flags().StringVar(&root, "root", "/", "prefix of every path")
	command.Flags().BoolVar(&undo, "undo", false, "start again what was stopped")
	command.Flags().DurationVar(&timeout, "timeout", 2*time.Minute, "when to give up")
	return command
}

// fenced is components.Fenced's content.
type fenced struct {
	Enabled []string `json:"enabled"` // units that are to start again
}

// halt stops everything, and proves it: what it could not end is residue. The
// mark and the disabling come first, so that a machine that loses its power in
// the middle of this starts nothing when it has it again.
func (r *remover) halt(ctx context.Context) error {
	mark, err := r.readMark()
	if errors.Is(err, fs.ErrNotExist) {
		mark.Enabled, err = r.enabled()
		if err == nil {
			var text []byte
			if text, err = json.Marshal(mark); err == nil {
				err = durable.Replace(r.at(components.Fenced), 0o600, text)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("fence: note what is enabled: %w", err)
	}
	if now, err := r.enabled(); err != nil || len(now) > 0 {
		if err == nil {
			_, err = r.run(ctx, append([]string{"systemctl", "disable", "--quiet"}, now...)...)
		}
		r.residue("enabled units", err)
	}
	// A mount that is only taken out of the tree can be written to for as long as
	// somebody is inside: that would prove nothing.
	unmount := r.unmount
	r.unmount = func(path string, flags int) error {
		if flags&unix.MNT_DETACH != 0 {
			return errors.New("it is in use, or what it leads to does not answer")
		}
		return unmount(path, flags)
	}
	things := []removal.Things{r.list.Own}
	if r.evident() {
		things = append(things, r.list.Shared)
	}
	r.stopUnits(ctx, things)
	for _, t := range things {
		r.killAll(ctx, t.Cgroups)
	}
	for _, t := range things {
		r.unmountBelow(ctx, t.Mounts)
	}
	r.lookOnceMore(ctx, things)
	return nil
}

// lookOnceMore reports what came back, or could not be asked for.
func (r *remover) lookOnceMore(ctx context.Context, things []removal.Things) {
	running, err := r.running(ctx)
	r.residue("units", err)
	for _, unit := range running {
		r.residue("unit "+unit, errors.New("it runs"))
	}
	for _, t := range things {
		if pids := r.killOnce(t.Cgroups); len(pids) > 0 {
			r.residue(fmt.Sprintf("process %d", pids[0]), errors.New("it runs"))
		}
	}
	left, err := r.enabled()
	r.residue("units", err)
	if len(left) > 0 {
		r.residue("units", fmt.Errorf("%d are still enabled", len(left)))
	}
}

// resume enables and starts what halt found enabled. The mark goes last: a
// machine that has it is not whole.
func (r *remover) resume(ctx context.Context) error {
	mark, err := r.readMark()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	if len(mark.Enabled) > 0 {
		for _, verb := range [][]string{{"enable", "--quiet"}, {"start", "--no-block"}} {
			if _, err := r.run(ctx, slices.Concat([]string{"systemctl"}, verb, mark.Enabled)...); err != nil {
				return fmt.Errorf("fence: %w", err)
			}
		}
	}
	return os.Remove(r.at(components.Fenced))
}

// enabled returns those of our units that systemd starts by itself.
func (r *remover) enabled() ([]string, error) {
	var enabled []string
	for _, unit := range r.list.Units {
		links, err := filepath.Glob(filepath.Join(r.at(components.Units), "*.wants", unit))
		if err != nil {
			return nil, err
		}
		if len(links) > 0 {
			enabled = append(enabled, unit)
		}
	}
	return enabled, nil
}

// readMark refuses units that are not ours: the file is root's, and is nothing
// to trust a systemctl with all the same.
func (r *remover) readMark() (fenced, error) {
	var mark fenced
	file, err := os.Open(r.at(components.Fenced))
	if err != nil {
		return mark, err
	}
	defer file.Close()
	if err := json.NewDecoder(io.LimitReader(file, 64<<10)).Decode(&mark); err != nil {
		return mark, fmt.Errorf("%s: %w", components.Fenced, err)
	}
	for _, unit := range mark.Enabled {
		if !slices.Contains(r.list.Units, unit) {
			return mark, fmt.Errorf("%s: unit %.80q is not ours", components.Fenced, unit)
		}
	}
	return mark, nil
}
