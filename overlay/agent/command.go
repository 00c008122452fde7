package agent

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"provision/overlay"
)

// NewCommand returns "agent overlay".
func NewCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "overlay",
		Short: "Keep this machine's part of the pod network: bridge0, wg0, routes, rules",
		Long: `Keeps bridge0 and wg0, the routes to other machines' pods, the nftables rules
and the CNI configuration as they should be, and heals them within seconds.
Stopping it leaves all of them in place and working.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			config, err := load(file)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return Run(ctx, config, log)
		},
	}
	command.PersistentFlags().StringVar(&file, "config", "/etc/provision/overlay.json", "the overlay's configuration")
	command.AddCommand(statusCommand(&file), rotateCommand(&file))
	return command
}

func statusCommand(file *string) *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use:   "status",
		Short: "Show peers, handshakes and problems, as the running agent last saw them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			config, err := load(*file)
			if err != nil {
				return err
			}
			s, err := readStatus(config)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(s)
			}
			return s.Print(cmd.OutOrStdout(), time.Now())
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return command
}

func load(file string) (overlay.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return overlay.Config{}, err
	}
	config, err := overlay.ParseConfig(data)
	if err != nil {
		return config, fmt.Errorf("%s: %w", file, err)
	}
	return config, nil
}

// withoutTime leaves the time to the journal.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
