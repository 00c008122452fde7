package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"provision/overlay"
	"provision/overlay/state"
)

// loadKeys reads the keys where their folder changed, and reports whether they
// did.
func (a *agent) loadKeys() (changed bool, err error) {
	info, err := os.Stat(string(a.dir))
	if err != nil {
		return false, err
	}
	if info.ModTime().Equal(a.keyed) {
		return false, nil
	}
	key, err := a.dir.Key()
	if err != nil {
		return false, err
	}
	var next overlay.Key
	private, ok, err := a.dir.NextKey()
	if err != nil {
		return false, err
	}
	if ok {
		next = private.Public()
	}
	if time.Since(info.ModTime()) > glance { // else another change may have the same time
		a.keyed = info.ModTime()
	}
	if key == a.key && next == a.next {
		return false, nil
	}
	a.key, a.public, a.next, a.agreed = key, key.Public(), next, false
	return true, nil
}

// follow looks whether a peer's next key has taken over. The handshake says so
// before the API does, or without it.
func (a *agent) follow() {
	if a.mode == "" || !slices.ContainsFunc(a.mesh.Peers, func(p overlay.Peer) bool { return p.Next != overlay.Key{} }) {
		return
	}
	// An error is the next heal's to tell.
	a.device.Sync(a.key, a.psk, overlay.Desired(a.config, a.mesh, a.underlay).Device)
}

// rotateCommand gives the machine another key in two steps, between which the
// others are to learn of it.
func rotateCommand(file *string) *cobra.Command {
	command := &cobra.Command{
		Use:   "rotate",
		Short: "Change this machine's key, in two steps: prepare, then commit",
	}
	step := func(name, short string, run func(overlay.Config, state.Dir) (overlay.Key, error)) *cobra.Command {
		return &cobra.Command{
			Use: name, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				cmd.SilenceUsage = true
				config, err := load(*file)
				if err != nil {
					return err
				}
				dir, err := state.Open(config.StateDir)
				if err != nil {
					return err
				}
				key, err := run(config, dir)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), key)
				}
				return err
			},
		}
	}
	command.AddCommand(
		step("prepare", "Make the next key and announce it beside the present one; prints the public key", prepare),
		step("commit", "Let the next key take over, once the Node announces it; prints the public key", commit),
	)
	return command
}

func prepare(_ overlay.Config, dir state.Dir) (overlay.Key, error) {
	key, err := dir.PrepareKey()
	return key.Public(), err
}

func commit(config overlay.Config, dir state.Dir) (overlay.Key, error) {
	next, ok, err := dir.NextKey()
	if err != nil {
		return overlay.Key{}, err
	}
	if !ok {
		return overlay.Key{}, errors.New("there is no next key: prepare one first")
	}
	status, err := readStatus(config)
	if err != nil {
		return overlay.Key{}, err
	}
	if status.NextKey != next.Public() || !status.Announced || time.Since(status.Updated) > overlay.Stale {
		return overlay.Key{}, errors.New("the next key is not announced yet, and nobody would know it: is the API server away, or the overlay agent?")
	}
	return next.Public(), dir.PromoteKey()
}

// readStatus returns what the running agent last wrote.
func readStatus(config overlay.Config) (overlay.Status, error) {
	data, err := os.ReadFile(filepath.Join(config.RunDir, overlay.StatusName))
	if errors.Is(err, fs.ErrNotExist) {
		return overlay.Status{}, errors.New("there is no status: the overlay agent does not run")
	}
	if err != nil {
		return overlay.Status{}, err
	}
	return overlay.ParseStatus(data)
}
