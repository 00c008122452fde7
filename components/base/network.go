package base

import (
	"context"
	"errors"

	"provision/components"
)

// ReloadNetwork has the network managers that run read their files again.
type ReloadNetwork struct{}

// Component is "base".
func (ReloadNetwork) Component() string { return "base" }

func (ReloadNetwork) String() string {
	return "have systemd-networkd and NetworkManager leave our links alone"
}

// Touches is empty: the files were named before.
func (ReloadNetwork) Touches() []components.Touch { return nil }

// Apply reloads those that are active. A reload changes no link that they
// already configured.
func (ReloadNetwork) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	for _, manager := range []struct {
		unit   string
		reload []string
	}{
		{"systemd-networkd.service", []string{"networkctl", "reload"}},
		{"NetworkManager.service", []string{"systemctl", "reload", "NetworkManager.service"}},
	} {
		_, err := on.Run(ctx, []string{"systemctl", "is-active", "--quiet", manager.unit}, nil)
		if exit := (*components.ExitError)(nil); errors.As(err, &exit) {
			continue // not active, or not installed
		}
		if err != nil {
			return err
		}
		if _, err := on.Run(ctx, manager.reload, nil); err != nil {
			return err
		}
	}
	return nil
}
