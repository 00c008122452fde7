package actions

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"provision/components"
	"provision/components/handover"
)

// UploadAgent puts the bundle's agent at its place: it unpacks the rest.
type UploadAgent struct {
	Path string
	Sum  string // SHA-256 in hex
}

// Component is "bundle".
func (UploadAgent) Component() string { return "bundle" }

func (a UploadAgent) String() string { return "send the agent to " + a.Path }

// Touches is empty: the folder is ours.
func (UploadAgent) Touches() []components.Touch { return nil }

// Apply has it taken from other machines while one is offered, else sends it, and
// refuses what is not the agent that was planned.
func (a UploadAgent) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	for {
		turn, err := site.Turn(ctx, handover.Agent, on.Name(), nil)
		if err != nil {
			return err
		}
		if turn.From == nil {
			err := a.send(ctx, on, site)
			turn.Done(err)
			return err
		}
		err = a.take(ctx, on, *turn.From)
		turn.Done(err)
		if !errors.As(err, new(handover.Problem)) {
			return err
		}
	}
}

func (a UploadAgent) send(ctx context.Context, on components.Machine, site components.Site) error {
	content, err := site.BundleFile("bin/agent")
	if err != nil {
		return err
	}
	if sum := components.Sum(content); sum != a.Sum {
		return fmt.Errorf("the bundle's bin/agent has the sum %s, where its manifest says %s", sum, a.Sum)
	}
	return on.WriteFile(ctx, a.Path, 0o755, content)
}

//go:embed take-agent.sh
var takeAgent string

// take has bash take it: there is no program of ours yet. A machine without bash, or
// with one that opens no connections, is one to which the operator sends it.
func (a UploadAgent) take(ctx context.Context, on components.Machine, from handover.Source) error {
	argv := []string{"timeout", strconv.Itoa(int(handover.Longest.Seconds())), "bash", "-c", takeAgent, "bash",
		from.At.Addr().String(), strconv.Itoa(int(from.At.Port())), a.Path, a.Sum}
	_, err := on.Run(ctx, argv, strings.NewReader(from.Token+"\n"))
	if exit := (*components.ExitError)(nil); errors.As(err, &exit) {
		return handover.Problem(fmt.Sprintf("exit status %d: %s", exit.Code, exit.Stderr))
	}
	return err
}

// Unpack brings the bundle and has the agent unpack it.
type Unpack struct {
	ID    string // of the bundle
	Agent string
	// Have are the SHA-256 (hex) of files that the machine has in other bundles: they are not sent.
	Have map[string]bool `json:"-"`
	// Damaged are files of it that somebody changed or deleted, where it was whole before.
	Damaged []string `json:",omitempty"`
}

// Component is "bundle".
func (Unpack) Component() string { return "bundle" }

func (a Unpack) String() string {
	if len(a.Damaged) > 0 {
		return "repair bundle " + a.ID + ": " + strings.Join(a.Damaged, ", ")
	}
	return "send and unpack bundle " + a.ID
}

// Touches is empty: the folder is ours.
func (Unpack) Touches() []components.Touch { return nil }

// Apply has it taken from other machines while one is offered, and streams from the
// operator what they did not bring.
func (a Unpack) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	have := maps.Clone(a.Have)
	if have == nil {
		have = map[string]bool{}
	}
	for {
		turn, err := site.Turn(ctx, handover.Bundle, on.Name(), have)
		if err != nil {
			return err
		}
		if turn.From == nil {
			err := a.send(ctx, on, site, have)
			turn.Done(err)
			return err
		}
		report, err := a.take(ctx, on, *turn.From)
		switch {
		case err == nil && !report.Unpacked:
			turn.Done(handover.Problem(report.Problem))
		default:
			turn.Done(err)
			return err
		}
		for _, sum := range report.Have {
			have[sum] = true
		}
	}
}

// take has the agent take it from another machine.
func (a Unpack) take(ctx context.Context, on components.Machine, from handover.Source) (report handover.Report, err error) {
	request, err := json.Marshal(from)
	if err != nil {
		return report, err
	}
	out, err := on.Run(ctx, a.command("--from"), bytes.NewReader(request))
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	return report, err
}

func (a Unpack) command(more ...string) []string {
	return append([]string{a.Agent, "unpack", "--root", components.Root, "--id", a.ID}, more...)
}

// send streams the bundle into the agent.
func (a Unpack) send(ctx context.Context, on components.Machine, site components.Site, have map[string]bool) error {
	return Feed(ctx, on, a.command(), func(ctx context.Context, to io.Writer) error {
		if err := site.Bundle(ctx, to, have); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		return nil
	})
}
