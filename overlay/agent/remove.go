package agent

import (
	"errors"
	"io/fs"
	"os"

	"provision/overlay"
	"provision/overlay/host"
	"provision/overlay/rules"
	"provision/overlay/state"
)

// Remove takes away what the agent and the userspace daemon made on a machine:
// routes, wg0, bridge0, the nftables table, the CNI file, and kernel parameters
// that still hold what we wrote. Both must have been stopped. It says what it
// took, and leaves what is not ours; the folders are the caller's.
func Remove(config overlay.Config) (removed []string, err error) {
	removed, err = host.Remove()
	errs := []error{err}

	if gone, err := rules.Remove(); err != nil {
		errs = append(errs, err)
	} else if gone {
		removed = append(removed, "nftables table inet "+rules.Table)
	}
	if config.CNIConf != "" {
		if err := os.Remove(config.CNIConf); err == nil {
			removed = append(removed, config.CNIConf)
		} else if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	before, err := state.Dir(config.StateDir).Before()
	errs = append(errs, err)
	restored, err := host.RestoreSysctls(overlay.Desired(config, overlay.Mesh{}, 0).Sysctls, before)
	errs = append(errs, err)
	return append(removed, restored...), errors.Join(errs...)
}
