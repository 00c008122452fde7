package remove

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"provision/components/agent/durable"
	"provision/components/removal"
)

// maxInput bounds the list, in bytes.
const maxInput = 1 << 20

// reader takes a list apart that may come from a newer provision than this
// agent: its bundle may be older. A kind of thing that is not known here cannot
// be taken away, and one thing with a word more than is known here may be under
// a condition that is not: both are left, as residue, so that the proof of what
// we are stays for an agent that knows. All else goes.
type reader struct {
	left []removal.Kept
}

// decode reads and checks a list, and says what of it is beyond this agent.
func decode(in io.Reader) (removal.List, []removal.Kept, error) {
	var list removal.List
	text, err := durable.ReadAll(in, maxInput)
	if err != nil {
		return list, nil, err
	}
	r := &reader{}
	var own, shared json.RawMessage
	err = r.object("the list", text, map[string]any{
		"units": &list.Units, "own": &own, "shared": &shared, "evidence": &list.Evidence, "journal": &list.Journal,
	})
	if err == nil {
		list.Own, err = r.things("own", own)
	}
	if err == nil {
		list.Shared, err = r.things("shared", shared)
	}
	if err == nil {
		err = check(list)
	}
	return list, r.left, err
}

func (r *reader) things(name string, text json.RawMessage) (removal.Things, error) {
	var t removal.Things
	var tables, addresses, files []json.RawMessage
	err := r.object(name, text, map[string]any{
		"cgroups": &t.Cgroups, "mounts": &t.Mounts, "networks": &t.Networks, "empty": &t.Empty, "dirs": &t.Dirs,
		"tables": &tables, "addresses": &addresses, "files": &files,
	})
	if err == nil {
		t.Tables, err = each[removal.Table](r, "table", tables)
	}
	if err == nil {
		t.Addresses, err = each[removal.Address](r, "address", addresses)
	}
	if err == nil {
		t.Files, err = each[removal.File](r, "file", files)
	}
	return t, err
}

// object decodes an object's fields into what is known by their names.
func (r *reader) object(name string, text json.RawMessage, known map[string]any) error {
	if len(text) == 0 {
		return nil
	}
	var present map[string]json.RawMessage
	if err := json.Unmarshal(text, &present); err != nil {
		return err
	}
	for _, field := range slices.Sorted(maps.Keys(present)) {
		into, ok := known[field]
		if !ok {
			r.beyond(fmt.Sprintf("%.40q of %s", field, name))
			continue
		}
		if err := json.Unmarshal(present[field], into); err != nil {
			return fmt.Errorf("%s of %s: %w", field, name, err)
		}
	}
	return nil
}

// each decodes things one by one, and leaves out what says more than T can.
func each[T any](r *reader, kind string, texts []json.RawMessage) ([]T, error) {
	var all []T
	for _, text := range texts {
		var one T
		if err := json.Unmarshal(text, &one); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		strict := json.NewDecoder(bytes.NewReader(text))
		strict.DisallowUnknownFields()
		if strict.Decode(new(T)) != nil {
			r.beyond(fmt.Sprintf("%s %+v", kind, one))
			continue
		}
		all = append(all, one)
	}
	return all, nil
}

func (r *reader) beyond(what string) {
	r.left = append(r.left, removal.Kept{
		What: what, Why: "the agent is older than provision and does not know how: run down once more with a newer bundle (--bundles)",
	})
}
