package bundle

import (
	"fmt"
	"io"
	"slices"
)

// NamedFrame is a rendered entry.
type NamedFrame struct {
	Name string
	Data []byte // as Frame made it
}

// Write writes a whole bundle: the manifest's frame, the files' in the order
// given (which is the manifest's), the end of the archive and the index.
func Write(w io.Writer, manifest []byte, files []NamedFrame) error {
	first, err := Frame(ManifestName, 0o644, manifest)
	if err != nil {
		return err
	}
	frames := append([]NamedFrame{{Name: ManifestName, Data: first}}, files...)
	var positions []Position
	var offset int64
	for _, frame := range frames {
		if _, err := w.Write(frame.Data); err != nil {
			return fmt.Errorf("%s: %w", frame.Name, err)
		}
		length := int64(len(frame.Data))
		positions = append(positions, Position{Name: frame.Name, Offset: offset, Length: length})
		offset += length
	}
	end, err := EndFrame()
	if err != nil {
		return err
	}
	index, err := Index(positions)
	if err != nil {
		return err
	}
	if _, err := w.Write(slices.Concat(end, index)); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	return nil
}
