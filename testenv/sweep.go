package testenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Sweep removes every lab that nobody can use any more and says which: its
// directory is gone, its Up was killed, or its switch is gone. A lab that
// stands, or that another process is working on, is left alone. Images that nobody used
// for a week go as well.
func Sweep() ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("removing labs needs root")
	}
	ids, err := labIDs()
	if err != nil {
		return nil, err
	}
	var swept []string
	var errs []error
	for _, id := range ids {
		lab, why, err := orphan(id)
		if err == nil && why != "" {
			err = lab.sweep()
			swept = append(swept, fmt.Sprintf("%s: %s", id, why))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("lab %s: %w", id, err))
		}
	}
	return swept, errors.Join(append(errs, pruneImages())...)
}

// labIDs lists the labs that the store knows.
func labIDs() ([]string, error) {
	entries, err := os.ReadDir(Store())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() && validID.MatchString(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, nil
}

// orphan says why a lab may go; "" where it may not.
func orphan(id string) (*Lab, string, error) {
	lab := &Lab{ID: id}
	unlock, err := lock(filepath.Join(lab.store(), "lock"), 0)
	if err != nil {
		return lab, "", nil // somebody is at work on it
	}
	unlock()
	dir, err := os.ReadFile(filepath.Join(lab.store(), "dir"))
	if err != nil {
		return lab, "it was never finished", nil
	}
	lab.Dir = string(dir)
	found, err := Open(lab.Dir)
	switch {
	case err != nil || found.ID != id:
		return lab, "its directory " + lab.Dir + " is gone", nil
	case !found.Ready:
		return found, "it was never finished", nil
	case !found.running(outsideGroup):
		return found, "its switch is gone", nil
	}
	return found, "", nil
}

func (l *Lab) sweep() error {
	unlock, err := lock(filepath.Join(l.store(), "lock"), 0)
	if err != nil {
		return err
	}
	defer unlock()
	return l.remove()
}
