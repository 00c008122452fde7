package certificates

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"provision/components"
	"provision/components/agent/durable"
	"provision/overlay"
)

// presharedKeyCommand makes the overlay's pre-shared key, which lies beside the
// overlay's own configuration and not among the identities.
func presharedKeyCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "preshared-key",
		Short: "Make the overlay's pre-shared key where there is none",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := makePresharedKey(file); err != nil {
				return fmt.Errorf("certificates preshared-key: %w", err)
			}
			return nil
		},
	}
	command.Flags().StringVar(&file, "file", components.PresharedKey, "where it lies")
	return command
}

// makePresharedKey never replaces a key, and never says what it is.
func makePresharedKey(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	err := durable.Create(file, 0o600, overlay.NewPresharedKey().PresharedKeyText())
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	text, err := durable.Read(file, maxFile)
	if err != nil {
		return err
	}
	if _, err := overlay.ParsePresharedKey(text); err != nil {
		return fmt.Errorf("%s is there, and is no key: %w", file, err)
	}
	return nil
}
