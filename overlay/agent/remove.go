package agent

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"provision/overlay"
	"provision/overlay/host"
	"provision/overlay/rules"
	"provision/overlay/state"
)

// sockets is where the userspace daemon's is, by wg's convention.
const sockets = "/run/wireguard"

// Remove takes away what the agent and the userspace daemon made on a machine:
// routes, wg0 and its socket, bridge0, the nftables table, the CNI file, and kernel parameters
// that still hold what we wrote. Both must have been stopped. It says what it
// took, and leaves what is not ours; the folders are the caller's.
func Remove(config overlay.Config) (removed []string, err error) {
	removed, err = host.Remove()
	errs := []error{err}

	if _, err := net.InterfaceByName(overlay.Tunnel); err != nil { // otherwise it is somebody else's wg0
		gone, err := removeSocket(sockets)
		removed, errs = append(removed, gone...), append(errs, err)
	}
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
	wrote := append(overlay.Desired(config, overlay.Mesh{}, 0).Sysctls, host.KeptRouters(before)...)
	restored, err := host.RestoreSysctls(wrote, before)
	errs = append(errs, err)
	return append(removed, restored...), errors.Join(errs...)
}

// removeSocket removes what a userspace daemon that was killed left behind, and
// leaves the socket of one that lives.
func removeSocket(dir string) (removed []string, err error) {
	name := filepath.Join(dir, overlay.Tunnel+".sock")
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if conn, err := net.Dial("unix", name); err == nil {
		return nil, conn.Close()
	}
	if err := os.Remove(name); err != nil {
		return nil, err
	}
	os.Remove(dir) // unless somebody uses it
	return []string{"file " + name}, nil
}
