package approval

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"provision/components"
	"provision/components/agent/durable"
)

// NewCommand returns "agent certificates approve".
func NewCommand() *cobra.Command {
	var path string
	command := &cobra.Command{
		Use:   "approve",
		Short: "On a master: approve kubelets' serving certificates for names in the inventory, and renew machines' own identities",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			log := slog.New(slog.NewTextHandler(command.ErrOrStderr(), nil))
			(&daemon{path: path, log: log, every: time.Second}).run(command.Context())
			return nil
		},
	}
	command.Flags().StringVar(&path, "config", components.Etc+"/certificates.json", "configuration, read again when it changes")
	return command
}

// daemon follows the requests with the configuration of the moment.
type daemon struct {
	path  string
	log   *slog.Logger
	every time.Duration // between looks at the file, and between attempts

	text []byte             // of the configuration that told belongs to
	told map[types.UID]bool // requests left alone, that were logged
}

// run goes on until the context ends. An API server that is starting, or gone,
// and a file that is not there yet are waited for and logged once.
func (d *daemon) run(ctx context.Context) {
	problem := ""
	for ctx.Err() == nil {
		err := d.round(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != problem {
			d.log.Error("no approvals for now", "why", err)
		}
		problem = fmt.Sprint(err)
		select {
		case <-ctx.Done():
		case <-time.After(d.every):
		}
	}
}

// round works until the file changes, the watch ends or something fails.
func (d *daemon) round(ctx context.Context) error {
	config, text, err := load(d.path)
	if err != nil {
		return err
	}
	client, err := connect(config.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		d.unchanged(ctx, text)
	}()
	if d.told == nil || !bytes.Equal(text, d.text) {
		d.text, d.told = text, map[types.UID]bool{}
	}
	a := &approver{client: client, config: config, log: d.log, told: d.told}
	defer func() { d.told = a.told }()
	if err := a.follow(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// unchanged returns when the file no longer says the same.
func (d *daemon) unchanged(ctx context.Context, text []byte) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(d.every):
		}
		if now, err := durable.Read(d.path, maxFile); err == nil && !bytes.Equal(now, text) {
			return
		}
	}
}
