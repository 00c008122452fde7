package actions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"provision/components"
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

// Apply sends it, and refuses what is not the agent that was planned.
func (a UploadAgent) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	content, err := site.BundleFile("bin/agent")
	if err != nil {
		return err
	}
	if sum := components.Sum(content); sum != a.Sum {
		return fmt.Errorf("the bundle's bin/agent has the sum %s, where its manifest says %s", sum, a.Sum)
	}
	return on.WriteFile(ctx, a.Path, 0o755, content)
}

// Unpack sends the bundle and has the agent unpack it.
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

// Apply streams the bundle into "agent unpack".
func (a Unpack) Apply(ctx context.Context, on components.Machine, site components.Site) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, write := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		err := site.Bundle(ctx, write, a.Have)
		write.CloseWithError(err) // nil means the end
		sent <- err
	}()
	_, err := on.Run(ctx, []string{a.Agent, "unpack", "--root", components.Root, "--id", a.ID}, read)
	read.CloseWithError(errNobodyReads)
	if sendErr := <-sent; sendErr != nil && !errors.Is(sendErr, errNobodyReads) {
		return fmt.Errorf("send: %w", sendErr) // what the agent says of a torn stream is only the echo
	}
	return err
}

var errNobodyReads = errors.New("agent unpack ended before the bundle did")
