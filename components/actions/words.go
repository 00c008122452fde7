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

// LastWords is the last line that a unit's process wrote, no more of it than a person
// reads; "" where that is not known.
func LastWords(ctx context.Context, on components.Machine, unit string) string {
	out, err := on.Run(ctx, []string{"journalctl", "--no-pager", "--quiet", "--output=cat", "--lines=1", "_SYSTEMD_UNIT=" + unit}, nil)
	if err != nil {
		return ""
	}
	words := strings.TrimSpace(string(out))
	if len(words) > mostWords {
		words = strings.ToValidUTF8(words[:mostWords], "") + "..."
	}
	return words
}

const mostWords = 300 // bytes

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
		if words := LastWords(ctx, on, unit); words != "" {
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
	before := map[string]int{} // where it ended before as well, systemd counts on
	for _, unit := range units {
		if !slices.Contains(silent, unit) {
			continue
		}
		if n, known := restarted(ctx, on, unit); known {
			before[unit] = n
		}
	}
	for look := 0; len(before) > 0 && look < moreLooks; look++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(map[bool]time.Duration{true: firstLook, false: time.Second}[look == 0]):
		}
		for _, unit := range units {
			was, watched := before[unit]
			if !watched {
				continue
			}
			n, _ := restarted(ctx, on, unit)
			switch {
			case n-was >= hopelessly:
				return fmt.Errorf("%s ends again and again; the last that it said: %s", short([]string{unit}), cmp.Or(LastWords(ctx, on, unit), "nothing"))
			case n == was:
				delete(before, unit)
			}
		}
	}
	return nil
}

// restarted is how often systemd has started a unit anew because it ended, and
// whether that is known.
func restarted(ctx context.Context, on components.Machine, unit string) (times int, known bool) {
	out, err := on.Run(ctx, []string{"systemctl", "show", "--property=NRestarts", "--value", unit}, nil)
	if err != nil {
		return 0, false
	}
	times, err = strconv.Atoi(strings.TrimSpace(string(out)))
	return times, err == nil
}
