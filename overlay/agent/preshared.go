package agent

import (
	"os"

	"provision/overlay/state"
)

// loadPresharedKey reads the cluster's pre-shared key again where its file
// changed, and reports whether anything follows. One that cannot be read leaves
// the last in use, and is a problem that the status names.
func (a *agent) loadPresharedKey() (changed bool) {
	if a.config.PresharedKeyFile == "" {
		return false
	}
	before := a.unshared
	info, err := os.Stat(a.config.PresharedKeyFile)
	if err == nil {
		if info.ModTime().Equal(a.shared) {
			return false
		}
		key, readErr := state.PresharedKey(a.config.PresharedKeyFile)
		if err = readErr; err == nil {
			a.shared = info.ModTime() // it is replaced as a whole, and by nobody twice at once
			changed, a.psk = key != a.psk, key
		}
	}
	a.unshared = err
	return changed || (before == nil) != (err == nil)
}
