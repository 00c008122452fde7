package pki

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"provision/components"
)

// Modes closes secrets that somebody opened to others. That is no remedy where others
// have read them: what is in a file may be known, and only its owner can tell.
func Modes(f components.Facts) []components.Action {
	var closes []components.Action
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		mode := fs.FileMode(0o600)
		switch {
		case name == components.PKI || name == NextDir:
			mode = 0o700
		case name == components.PresharedKey, strings.HasPrefix(name, components.PKI+"/") && (strings.HasSuffix(name, ".key") || path.Base(name) == "encryption.yaml"):
		default:
			continue
		}
		if f.Files[name].Mode != uint32(mode) {
			closes = append(closes, Close{Path: name, Mode: mode})
		}
	}
	return closes
}

// Close gives a file or folder its permission bits back.
type Close struct {
	Path string
	Mode fs.FileMode
}

// Component is "pki".
func (Close) Component() string { return "pki" }

func (a Close) String() string { return fmt.Sprintf("give %s its mode %04o back", a.Path, a.Mode) }

// Touches is empty: the folder is ours.
func (Close) Touches() []components.Touch { return nil }

// Apply sets the mode.
func (a Close) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	_, err := on.Run(ctx, []string{"chmod", fmt.Sprintf("%04o", a.Mode), a.Path}, nil)
	return err
}
