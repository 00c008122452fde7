package run

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"provision/components"
	"provision/components/journal"
)

// Setter is an action that can say what it sets a thing to, in the form of
// journal.Entry's Now.
type Setter interface {
	Sets(components.Touch) string
}

// record writes to the machine's journal what the actions are about to change,
// as it is now. The first record of a thing is what undoing goes back to, so it
// does no harm that a repeated run records again.
//
// The files' names sort by the run's generation, which only rises, and within a
// run by time: two operators' clocks may differ.
func record(ctx context.Context, on components.Machine, generation uint64, actions []components.Action) error {
	var entries []journal.Entry
	for _, action := range actions {
		for _, touch := range action.Touches() {
			entry, err := present(ctx, on, touch)
			if err != nil {
				return fmt.Errorf("%s %s: %w", touch.Kind, touch.Name, err)
			}
			if setter, ok := action.(Setter); ok {
				entry.Now = setter.Sets(touch)
			}
			entries = append(entries, entry)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	now := time.Now()
	text, err := journal.Encode(journal.New(now, entries...))
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%012d-%s-%s.json", generation, now.UTC().Format("20060102T150405.000000000Z"), rand.Text()[:6])
	return on.WriteFile(ctx, path.Join(components.Journal, name), 0o600, text)
}

// present returns a thing as it is now.
func present(ctx context.Context, on components.Machine, touch components.Touch) (journal.Entry, error) {
	entry := journal.Entry{Kind: touch.Kind, Name: touch.Name}
	switch touch.Kind {
	case components.KindFile:
		content, err := on.ReadFile(ctx, touch.Name)
		if errors.Is(err, fs.ErrNotExist) {
			entry.Absent = true
			return entry, nil
		}
		if err != nil {
			return entry, err
		}
		entry.SetContent(content)
		out, err := on.Run(ctx, []string{"stat", "-c", "%a", touch.Name}, nil)
		if err != nil {
			return entry, err
		}
		mode, err := strconv.ParseUint(strings.TrimSpace(string(out)), 8, 12)
		entry.Mode = uint32(mode)
		return entry, err
	case components.KindSysctl:
		out, err := on.ReadFile(ctx, "/proc/sys/"+strings.ReplaceAll(touch.Name, ".", "/"))
		if errors.Is(err, fs.ErrNotExist) {
			entry.Absent = true // its module is not loaded yet
			return entry, nil
		}
		entry.Old = strings.TrimSpace(string(out))
		return entry, err
	case components.KindModule:
		_, err := on.Run(ctx, []string{"test", "-d", "/sys/module/" + touch.Name}, nil)
		entry.Absent = exited(err)
		return entry, unlessExited(err)
	default:
		_, err := on.Run(ctx, []string{"test", "-e", touch.Name}, nil)
		entry.Absent = exited(err)
		return entry, unlessExited(err)
	}
}

// exited says that a command ran and said no.
func exited(err error) bool {
	var exit *components.ExitError
	return errors.As(err, &exit)
}

func unlessExited(err error) error {
	if exited(err) {
		return nil
	}
	return err
}
