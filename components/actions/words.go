package actions

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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

// restarted is how often systemd has started a unit anew because it ended, 0 where
// that is not known.
func restarted(ctx context.Context, on components.Machine, unit string) int {
	out, err := on.Run(ctx, []string{"systemctl", "show", "--property=NRestarts", "--value", unit}, nil)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(out))) // of a unit that is not there, nothing
	return n
}
