// Package journal is the record of what was on a machine before us: the format
// of the files below components.Journal, and how to read many of them as one.
//
// It is pure data. Who writes it (provisioner/run, before each change) and who
// undoes what it says (agent remove) do so with their own effects.
package journal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"provision/components"
)

// Version is the only format there is.
const Version = 1

// MaxSize is the largest file that Decode reads, in bytes. A machine's word is
// bounded before it is believed.
const MaxSize = 16 << 20

// maxName is longer than any path that Linux opens.
const maxName = 4096

// File is one file of the journal: what was recorded before one change.
type File struct {
	Version int       `json:"version"`
	Time    time.Time `json:"time"`
	Entries []Entry   `json:"entries"`
}

// Entry is one thing as it was before us and as we left it.
type Entry struct {
	Kind   components.Kind `json:"kind"`
	Name   string          `json:"name"`
	Absent bool            `json:"absent"`         // there was no such thing
	Old    string          `json:"old,omitempty"`  // its value; a file's content in base64
	Mode   uint32          `json:"mode,omitempty"` // permission bits of a file or folder
	Now    string          `json:"now,omitempty"`  // what we set; a file's SHA-256 in hex
}

// Touch is the entry's key.
func (e Entry) Touch() components.Touch {
	return components.Touch{Kind: e.Kind, Name: e.Name}
}

// Content returns what a file held before us.
func (e Entry) Content() ([]byte, error) {
	content, err := base64.StdEncoding.DecodeString(e.Old)
	if err != nil {
		return nil, fmt.Errorf("%s %s: old content: %w", e.Kind, e.Name, err)
	}
	return content, nil
}

// SetContent keeps a file's content as its old value.
func (e *Entry) SetContent(content []byte) {
	e.Old = base64.StdEncoding.EncodeToString(content)
}

// New makes a file of entries, recorded at that time.
func New(at time.Time, entries ...Entry) File {
	return File{Version: Version, Time: at.UTC(), Entries: entries}
}

// Encode returns the file's text.
func Encode(file File) ([]byte, error) {
	text, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	return append(text, '\n'), nil
}

// Decode reads one file and refuses what this version would misunderstand.
func Decode(text []byte) (File, error) {
	if len(text) > MaxSize {
		return File{}, fmt.Errorf("journal: %d bytes are more than %d", len(text), MaxSize)
	}
	var file File
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&file); err != nil {
		return File{}, fmt.Errorf("journal: %w", err)
	}
	if file.Version != Version {
		return File{}, fmt.Errorf("journal: version %d, where only %d is known", file.Version, Version)
	}
	for i, entry := range file.Entries {
		if err := entry.check(); err != nil {
			return File{}, fmt.Errorf("journal: entry %d: %w", i, err)
		}
	}
	return file, nil
}

func (e Entry) check() error {
	switch {
	case e.Name == "" || len(e.Name) > maxName || strings.ContainsFunc(e.Name, unicode.IsControl):
		return fmt.Errorf("%.40q is no name", e.Name)
	case e.Mode&^0o7777 != 0:
		return fmt.Errorf("%s: mode %o has more than permission bits", e.Name, e.Mode)
	}
	switch e.Kind {
	case components.KindFile, components.KindDir:
		if !cleanPath(e.Name) {
			return fmt.Errorf("%q is not a clean absolute path", e.Name)
		}
	case components.KindSysctl, components.KindUnit, components.KindModule:
		// A sysctl's name may hold a slash (eth0/100); a step up never.
		if strings.HasPrefix(e.Name, "/") || strings.Contains(e.Name, "..") {
			return fmt.Errorf("%q is no name of a %s", e.Name, e.Kind)
		}
	default:
		return fmt.Errorf("kind %.40q is unknown", e.Kind)
	}
	return nil
}
