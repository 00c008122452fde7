package userspace

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"provision/overlay"
	"provision/overlay/device"
)

// NewCommand returns "agent wireguard".
func NewCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "wireguard",
		Short: "Be WireGuard for a kernel without it: the device behind wg0",
		Long: `Owns wg0 and encrypts what goes through it, on machines whose kernel has no
WireGuard. Configured by "agent overlay", or by wg. Stopping it leaves wg0 and
its routes in place: pod traffic waits for the next start.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			config, err := overlay.ParseConfig(data)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
			mode, err := device.Resolve(config.Mode)
			if err != nil {
				return err
			}
			if mode == overlay.Kernel {
				log.Info("nothing to do: this kernel has WireGuard, and mode is " + string(config.Mode))
				return nil
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return Run(ctx, config, log)
		},
	}
	command.Flags().StringVar(&file, "config", "/etc/provision/overlay.json", "the overlay's configuration")
	return command
}

// withoutTime leaves the time to the journal.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
