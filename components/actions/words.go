package actions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"provision/components"
)

// lastWords is the last line that a unit's process wrote, "" where that is not known.
func lastWords(ctx context.Context, on components.Machine, unit string) string {
	out, err := on.Run(ctx, []string{"journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=1", "_SYSTEMD_UNIT=" + unit}, nil)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// why says of units that were to start what they said themselves, where systemctl has
// only that they did not.
func why(ctx context.Context, on components.Machine, units []string, err error) error {
	if exit := (*components.ExitError)(nil); !errors.As(err, &exit) {
		return err
	}
	for _, unit := range units {
		if _, dead := on.Run(ctx, []string{"systemctl", "is-active", "--quiet", unit}, nil); dead == nil {
			continue
		}
		if words := lastWords(ctx, on, unit); words != "" {
			return fmt.Errorf("%s does not start; the last that it said: %s", short([]string{unit}), words)
		}
	}
	return err
}

// silent are units that do not say when they are ready, and that a setting of the
// cluster file may keep from starting: they are looked at a moment later.
var silent = []string{Service("controller-manager"), Service("scheduler"), Service("proxy")}

// A silent unit is looked at after firstLook, and where it ended by then once each
// second, until it has ended so often that it will again.
const (
	firstLook  = 1500 * time.Millisecond
	moreLooks  = 8
	hopelessly = 3
)

// steady watches silent units that were restarted, and says why one of them ends
// again and again. One that ended once, because something was not there yet, is well.
func steady(ctx context.Context, on components.Machine, units []string) error {
	units = slices.DeleteFunc(slices.Clone(units), func(unit string) bool { return !slices.Contains(silent, unit) })
	if len(units) == 0 {
		return nil
	}
	if _, known := mostRestarted(ctx, on, units); !known {
		return nil
	}
	pause := firstLook
	for range moreLooks {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = time.Second
		n, known := mostRestarted(ctx, on, units)
		if n == 0 || !known {
			return nil
		}
		if n < hopelessly {
			continue
		}
		for _, unit := range units {
			if restarted(ctx, on, unit) >= hopelessly {
				return fmt.Errorf("%s ends again and again; the last that it said: %s", short([]string{unit}), cmp.Or(lastWords(ctx, on, unit), "nothing"))
			}
		}
	}
	return nil
}

// mostRestarted is restarted of the unit that was so most often, and whether it is known.
func mostRestarted(ctx context.Context, on components.Machine, units []string) (most int, known bool) {
	out, err := on.Run(ctx, append([]string{"systemctl", "show", "--property=NRestarts", "--value"}, units...), nil)
	if err != nil {
		return 0, false
	}
	for word := range strings.FieldsSeq(string(out)) {
		if n, err := strconv.Atoi(word); err == nil {
			most, known = max(most, n), true
		}
	}
	return most, known
}

// restarted is how often systemd has started a unit anew because it ended, 0 where
// that is not known.
func restarted(ctx context.Context, on components.Machine, unit string) int {
	n, _ := mostRestarted(ctx, on, []string{unit})
	return n
}
