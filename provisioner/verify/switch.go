package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"provision/components/removal"
)

// fault is what a drill does to one machine, and what undoes it. Both are lines
// of sh without $, % or ', since systemd would read the first two, and they are
// carried within the third. The undoing may happen twice, or for nothing.
type fault struct {
	machine Machine
	harm    string
	undo    string
	mute    bool // while it lasts the machine does not answer us either
}

// strikeAfter is the pause between our being told that the harm begins and its
// beginning: the telling has to get out of the machine.
const strikeAfter = 100 * time.Millisecond

// deadMan is the switch: the undoing is armed on the machine before anything is
// harmed there, as a timer of its own systemd, and no packet of ours is needed.
type deadMan struct {
	faults []fault
	hold   time.Duration
	armed  time.Time // when the last of the switches was armed
}

// arm arms every switch. Where one cannot be, those that are go off for nothing.
func (s *deadMan) arm(ctx context.Context) error {
	group, all := errgroup.WithContext(ctx)
	for _, f := range s.faults {
		group.Go(func() error {
			_, err := f.machine.Run(all, []string{
				"systemd-run", "--quiet", "--collect", "--unit=" + removal.DrillUndo,
				"--description=undoes what a drill of provision does to this machine",
				"--on-active=" + strconv.FormatFloat(s.hold.Seconds(), 'f', 3, 64), "--timer-property=AccuracySec=100ms",
				"sh", "-c", f.undo,
			}, nil)
			if err != nil {
				return fmt.Errorf("%s: arm the switch that undoes the drill: %w", f.machine.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return errors.Join(err, s.undo(context.WithoutCancel(ctx)))
	}
	s.armed = time.Now()
	return nil
}

// strike does the harm, to all machines at once. What it is told to do, systemd
// does there: a connection that ends by it harms nothing.
func (s *deadMan) strike(ctx context.Context) error {
	group, all := errgroup.WithContext(ctx)
	for _, f := range s.faults {
		group.Go(func() error {
			script := f.harm
			if f.mute {
				script = fmt.Sprintf("sleep %.1f; %s", strikeAfter.Seconds(), script)
			}
			argv := []string{"systemd-run", "--quiet", "--collect", "--no-block", "--unit=" + removal.DrillHarm, "sh", "-c", script}
			if _, err := f.machine.Run(all, argv, nil); err != nil {
				return fmt.Errorf("%s: %w", f.machine.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// undo has the machines that still answer undo it now; those that are mute do so
// when their time is up.
func (s *deadMan) undo(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanPatience)
	defer cancel()
	var group errgroup.Group
	for _, f := range s.faults {
		if f.mute && !s.armed.IsZero() {
			continue
		}
		group.Go(func() error {
			_, err := f.machine.Run(ctx, []string{"sh", "-c", f.undo + "; systemctl stop " + removal.DrillUndo + ".timer 2>/dev/null; true"}, nil)
			if err != nil {
				return fmt.Errorf("%s: undo the drill: %w; its own switch does so %v after it was armed", f.machine.Name, err, s.hold)
			}
			return nil
		})
	}
	return group.Wait()
}

// over is when every mute machine has undone it by itself.
func (s *deadMan) over() time.Time { return s.armed.Add(s.hold) }

// nothingLeft looks on the machines, over new connections where the old ones
// were cut, for what should be gone.
func (s *deadMan) nothingLeft(ctx context.Context) error {
	var group errgroup.Group
	for _, f := range s.faults {
		group.Go(func() error {
			if f.mute && f.machine.Reconnect != nil {
				if err := f.machine.Reconnect(ctx); err != nil {
					return fmt.Errorf("%s: %w", f.machine.Name, err)
				}
			}
			var left string
			err := until(ctx, cleanPatience, func() bool {
				out, err := f.machine.Run(ctx, []string{"systemctl", "list-units", "--plain", "--no-legend", "--all",
					removal.DrillUndo + ".*", removal.DrillHarm + ".*"}, nil)
				if err == nil && len(bytes.TrimSpace(out)) == 0 {
					return true
				}
				if left = strings.TrimSpace(string(out)); err != nil {
					left = err.Error()
				}
				return false
			})
			if err != nil {
				return fmt.Errorf("%s: the drill's switch is still there: %s", f.machine.Name, left)
			}
			return nil
		})
	}
	return group.Wait()
}
