package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Power switches a machine off and on again, as a plug does: without goodbye.
type Power interface {
	Off(ctx context.Context, machine string) error
	On(ctx context.Context, machine string) error
}

// Commands is Power by commands that run on the operator's computer. In each
// word, {machine} stands for the machine's name.
type Commands struct {
	OffArgv, OnArgv []string
}

// ParseCommands splits two command lines at spaces. No shell sees them, so
// quotes mean nothing.
func ParseCommands(off, on string) (Commands, error) {
	c := Commands{OffArgv: strings.Fields(off), OnArgv: strings.Fields(on)}
	for what, argv := range map[string][]string{"off": c.OffArgv, "on": c.OnArgv} {
		if len(argv) == 0 {
			return c, fmt.Errorf("there is no command to switch a machine %s", what)
		}
		if !strings.Contains(strings.Join(argv, " "), "{machine}") {
			return c, fmt.Errorf("the command to switch a machine %s names none: put {machine} into it", what)
		}
	}
	return c, nil
}

// Off runs the command for it.
func (c Commands) Off(ctx context.Context, machine string) error {
	return command(ctx, c.OffArgv, machine)
}

// On runs the command for it.
func (c Commands) On(ctx context.Context, machine string) error {
	return command(ctx, c.OnArgv, machine)
}

func command(ctx context.Context, argv []string, machine string) error {
	if len(argv) == 0 {
		return errors.New("there is no command for it")
	}
	filled := make([]string, len(argv))
	for i, word := range argv {
		filled[i] = strings.ReplaceAll(word, "{machine}", machine)
	}
	var stderr bytes.Buffer
	run := exec.CommandContext(ctx, filled[0], filled[1:]...)
	run.Stderr = &stderr
	run.WaitDelay = time.Second // for what it started and left with our pipe
	err := run.Run()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return fmt.Errorf("%s: %w: %s", strings.Join(filled, " "), err, last)
	}
	return fmt.Errorf("%s: %w", strings.Join(filled, " "), err)
}
