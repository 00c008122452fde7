package balancer

import (
	"log/slog"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"provision/components/balancer"
)

// NewCommand returns "agent balancer".
func NewCommand() *cobra.Command {
	var path string
	command := &cobra.Command{
		Use:   "balancer",
		Short: "Balance connections over the masters' API servers",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			// Without a supervisor there is nobody to tell: not an error.
			tell := func(state string) { sd.SdNotify(false, state) }
			defer tell(sd.SdNotifyStopping)
			log := slog.New(slog.NewTextHandler(command.ErrOrStderr(), nil))
			return newDaemon(path, log).run(command.Context(), func() { tell(sd.SdNotifyReady) })
		},
	}
	command.Flags().StringVar(&path, "config", balancer.Path, "configuration, read again when it changes")
	return command
}
