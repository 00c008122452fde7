package actions

import (
	"context"
	"fmt"
	"io/fs"

	"provision/components"
)

// File puts a file in place, atomically.
type File struct {
	Of      string // component
	Path    string
	Mode    fs.FileMode // permission bits
	Content []byte
	// Folders that may not be there before us, from the outermost: they are
	// taken away again with the file where they are empty.
	Folders []string
	// Note, where there is one, says in the plan what writing it means.
	Note string
}

// Component is the component it belongs to.
func (a File) Component() string { return a.Of }

func (a File) String() string {
	if a.Note != "" {
		return "write " + a.Path + ": " + a.Note
	}
	return "write " + a.Path
}

// Touches names the file and its folders where they are outside our own.
func (a File) Touches() []components.Touch {
	var touches []components.Touch
	for _, dir := range a.Folders {
		touches = append(touches, components.Touch{Kind: components.KindDir, Name: dir})
	}
	if !ours(a.Path) {
		touches = append(touches, components.Touch{Kind: components.KindFile, Name: a.Path})
	}
	return touches
}

// Sets is the file's SHA-256 in hex.
func (a File) Sets(touch components.Touch) string {
	if touch.Kind != components.KindFile {
		return ""
	}
	return components.Sum(a.Content)
}

// Apply writes it.
func (a File) Apply(ctx context.Context, on components.Machine, _ components.Site) error {
	return on.WriteFile(ctx, a.Path, a.Mode, a.Content)
}

// MarshalJSON leaves the content out.
func (a File) MarshalJSON() ([]byte, error) {
	return describe(a.Of, a.String(), map[string]any{
		"path": a.Path, "mode": fmt.Sprintf("%04o", a.Mode), "size": len(a.Content), "sha256": components.Sum(a.Content)})
}
