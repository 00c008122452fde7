package bundle

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Position says where one entry's frame lies in a bundle.
type Position struct {
	Name   string `json:"name"`
	Offset int64  `json:"offset"` // bytes from the start
	Length int64  `json:"length"` // bytes
}

const (
	skippable = 0x184D2A5E // the magic number of a zstd frame that tools pass over
	maxIndex  = 4 << 20    // bytes
)

// Index renders the positions as the last frame of a bundle: JSON and then its
// length as 8 bytes, so that it is found from the end.
func Index(positions []Position) ([]byte, error) {
	text, err := json.Marshal(positions)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	frame := binary.LittleEndian.AppendUint32(nil, skippable)
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(text)+8))
	frame = append(frame, text...)
	return binary.LittleEndian.AppendUint64(frame, uint64(len(text))), nil
}

// ReadIndex returns the positions of a bundle of that many bytes. They follow
// one another without a gap from the start, the manifest first, and end before
// the index.
func ReadIndex(r io.ReaderAt, size int64) ([]Position, error) {
	text, start, err := readIndexText(r, size)
	if err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	var positions []Position
	if err := json.Unmarshal(text, &positions); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	if len(positions) == 0 || positions[0].Name != ManifestName {
		return nil, errors.New("index: the manifest is not first")
	}
	var next int64
	for _, p := range positions {
		if p.Offset != next || p.Length <= 0 || p.Length > start-next {
			return nil, fmt.Errorf("index: %.50q does not lie where it can", p.Name)
		}
		next += p.Length
	}
	return positions, nil
}

// readIndexText returns the index's JSON and where its frame starts.
func readIndexText(r io.ReaderAt, size int64) ([]byte, int64, error) {
	const head, tail = 8, 8
	if size < head+tail {
		return nil, 0, errors.New("the file is too short to be a bundle")
	}
	var end [tail]byte
	if _, err := r.ReadAt(end[:], size-tail); err != nil {
		return nil, 0, err
	}
	length := binary.LittleEndian.Uint64(end[:])
	if length > maxIndex || int64(length) > size-head-tail {
		return nil, 0, errors.New("the file does not end as a bundle does; it may be cut short")
	}
	frame := make([]byte, head+int64(length))
	start := size - tail - int64(len(frame))
	if _, err := r.ReadAt(frame, start); err != nil {
		return nil, 0, err
	}
	if binary.LittleEndian.Uint32(frame) != skippable || uint64(binary.LittleEndian.Uint32(frame[4:])) != length+tail {
		return nil, 0, errors.New("the file does not end as a bundle does; it may be cut short")
	}
	return frame[head:], start, nil
}
