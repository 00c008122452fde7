package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"provision/overlay"
)

// procSys is where kernel parameters are.
const procSys = "/proc/sys"

// EnsureSysctls writes the parameters that differ. before is told what each
// held, once, before it is changed: overlay/state keeps it for the removal.
func EnsureSysctls(want []overlay.Sysctl, before func(name, value string) error) error {
	var errs []error
	for _, s := range want {
		old, err := readSysctl(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist) && s.Optional != "":
			errs = append(errs, errors.New(s.Optional))
			continue
		case errors.Is(err, fs.ErrNotExist) && strings.Contains(s.Name, "/conf/"):
			continue // of a device that is not there yet
		case err != nil:
			errs = append(errs, err)
			continue
		case old == s.Value:
			continue
		}
		if err := before(s.Name, old); err != nil {
			errs = append(errs, fmt.Errorf("note what %s was: %w", s.Name, err))
			continue
		}
		if err := writeSysctl(s.Name, s.Value); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// RestoreSysctls puts parameters back to what they held before, where they still
// hold what we wrote. It returns what it changed.
func RestoreSysctls(wrote []overlay.Sysctl, before map[string]string) (restored []string, err error) {
	var errs []error
	for _, s := range wrote {
		old, known := before[s.Name]
		now, err := readSysctl(s.Name)
		if !known || err != nil || now != s.Value || old == s.Value {
			continue
		}
		if err := writeSysctl(s.Name, old); err != nil {
			errs = append(errs, err)
			continue
		}
		restored = append(restored, fmt.Sprintf("sysctl %s = %s", s.Name, old))
	}
	return restored, errors.Join(errs...)
}

func readSysctl(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(procSys, name))
	return strings.TrimSpace(string(data)), err
}

func writeSysctl(name, value string) error {
	f, err := os.OpenFile(filepath.Join(procSys, name), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
