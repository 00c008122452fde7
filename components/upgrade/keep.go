// Package upgrade is what makes a step of an upgrade one that can be taken back: a
// machine's files as they were are kept beside it, and where what was restarted does
// not come to serve, they are put back and what ran before runs again. Which steps
// there are, and in which order, is provisioner/plan's.
package upgrade

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"provision/components"
)

// PreviousFile is there while a machine's step has not come to its end: what its files
// were before. Secret, since configurations are.
const PreviousFile = components.State + "/stamps/previous.json"

// EmulateFile is on a master while its API server behaves as one of an earlier minor
// version, "1.35", so that nothing is stored that the earlier one could not read.
const EmulateFile = components.State + "/stamps/emulate"

// Emulate is that file's content.
func Emulate(version string) []byte { return []byte(version + "\n") }

// previous is PreviousFile's content.
type previous struct {
	Bundle string   `json:"bundle"` // the id of the one that ran
	Files  []saved  `json:"files"`
	Units  []string `json:"units"`
}

type saved struct {
	Path    string      `json:"path"`
	There   bool        `json:"there"`
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"content"`
}

// Keep keeps what a step is about to write over. What an earlier run kept and did not
// bring to an end stays: it is the older.
type Keep struct {
	Bundle string   // the id of the bundle that the machine runs
	Files  []string // that are to be written
	Units  []string // that are to be restarted
}

// Component is "upgrade".
func (Keep) Component() string { return "upgrade" }

func (a Keep) String() string { return "keep what runs of bundle " + a.Bundle + ", to go back to" }

// Touches is empty: the file is in a folder of ours.
func (Keep) Touches() []components.Touch { return nil }

// Apply keeps it.
func (a Keep) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	if _, err := on.ReadFile(ctx, PreviousFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kept := previous{Bundle: a.Bundle, Units: a.Units}
	for _, path := range a.Files {
		content, err := on.ReadFile(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			kept.Files = append(kept.Files, saved{Path: path})
			continue
		}
		if err != nil {
			return err
		}
		out, err := on.Run(ctx, []string{"stat", "-c", "%a", path}, nil)
		if err != nil {
			return err
		}
		mode, err := strconv.ParseUint(strings.TrimSpace(string(out)), 8, 9)
		if err != nil {
			return fmt.Errorf("%s: mode %.20q", path, out)
		}
		kept.Files = append(kept.Files, saved{path, true, fs.FileMode(mode), content})
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return on.WriteFile(ctx, PreviousFile, 0o600, text)
}

// read reads what was kept; fs.ErrNotExist where nothing was.
func read(ctx context.Context, on components.Machine) (previous, error) {
	var kept previous
	text, err := on.ReadFile(ctx, PreviousFile)
	if err != nil {
		return kept, err
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		return kept, fmt.Errorf("%s: %w", PreviousFile, err)
	}
	return kept, nil
}

// back puts the files back and has what ran before run again.
func back(ctx context.Context, on components.Machine) (previous, error) {
	kept, err := read(ctx, on)
	if err != nil {
		return kept, err
	}
	for _, file := range kept.Files {
		if !file.There {
			if _, err := on.Run(ctx, []string{"rm", "-f", "--", file.Path}, nil); err != nil {
				return kept, err
			}
			continue
		}
		if err := on.WriteFile(ctx, file.Path, file.Mode, file.Content); err != nil {
			return kept, err
		}
	}
	if _, err := on.Run(ctx, []string{"systemctl", "daemon-reload"}, nil); err != nil {
		return kept, err
	}
	if len(kept.Units) == 0 {
		return kept, nil
	}
	_, err = on.Run(ctx, append([]string{"systemctl", "restart", "--no-block"}, kept.Units...), nil)
	return kept, err
}
