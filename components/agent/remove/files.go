package remove

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/agent/durable"
	"provision/components/journal"
	"provision/components/removal"
)

// readJournal reads the journal's files in the order of their names. What can
// be read counts, also where a file is broken.
func readJournal(dir string) ([]journal.Entry, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var files []journal.File
	var problems []error
	for _, name := range names {
		text, err := durable.Read(name, journal.MaxSize)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		file, err := journal.Decode(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", filepath.Base(name), err))
			continue
		}
		files = append(files, file)
	}
	return journal.Merge(files), errors.Join(problems...)
}

// undo goes back from the last thing that was changed to the first, and leaves
// what somebody changed after us.
func (r *remover) undo(entries []journal.Entry) {
	for _, entry := range slices.Backward(entries) {
		what := string(entry.Kind) + " " + entry.Name
		var err error
		switch entry.Kind {
		case components.KindSysctl:
			err = r.undoSysctl(what, entry)
		case components.KindFile:
			if !r.wholly(entry.Name) {
				err = r.undoFile(what, entry)
			}
		case components.KindDir:
			// Ours alone where it is empty again.
			if entry.Absent && !r.wholly(entry.Name) && unix.Rmdir(r.at(entry.Name)) == nil {
				r.removed("folder %s", entry.Name)
			}
		}
		r.residue(what, err)
	}
}

// wholly says that a path goes with one of our folders or units.
func (r *remover) wholly(path string) bool {
	for _, things := range []removal.Things{r.list.Own, r.list.Shared} {
		for _, dir := range things.Dirs {
			if path == dir || strings.HasPrefix(path, dir+"/") {
				return true
			}
		}
	}
	return filepath.Dir(path) == components.Units && slices.Contains(r.list.Units, filepath.Base(path))
}

func (r *remover) undoSysctl(what string, entry journal.Entry) error {
	if entry.Absent {
		return nil // its module came with us and stays; what it has is the module's own default
	}
	path := r.at(parameter(entry.Name))
	text, err := durable.Read(path, 64<<10)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	switch now := fields(string(text)); {
	case now == fields(entry.Old):
		return nil
	case entry.Now == "" || now != fields(entry.Now):
		r.kept(what, fmt.Sprintf("it is %q, which is not what we set (%q); before us it was %q", now, entry.Now, entry.Old))
		return nil
	}
	if err := put(path, entry.Old); err != nil {
		return err
	}
	r.removed("our value of %s", what)
	return nil
}

// fields makes tabs and line ends that the kernel adds compare as equal.
func fields(text string) string { return strings.Join(strings.Fields(text), " ") }

func (r *remover) undoFile(what string, entry journal.Entry) error {
	path := r.at(entry.Name)
	present, there, err := r.regular(what, path)
	if err != nil || !there {
		return err
	}
	old, err := entry.Content()
	if err != nil {
		return err
	}
	ours := entry.Now != "" && components.Sum(present) == entry.Now
	switch {
	case !entry.Absent && bytes.Equal(present, old):
		return nil
	case !ours:
		if !entry.Absent || entry.Now != "" {
			r.kept(what, "somebody changed it after us")
		}
		return nil
	case entry.Absent:
		if err := os.Remove(path); err != nil && !gone(err) {
			return err
		}
		r.removed("%s", what)
		return nil
	}
	if err := durable.Replace(path, os.FileMode(entry.Mode), old); err != nil {
		return err
	}
	r.removed("our content of %s", what)
	return nil
}

// regular returns a file's content. Anything but a file is not what we wrote.
func (r *remover) regular(what, path string) (content []byte, there bool, err error) {
	info, err := os.Lstat(path)
	if gone(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		r.kept(what, "it is no longer a file, so it is not ours")
		return nil, false, nil
	}
	content, err = durable.Read(path, journal.MaxSize)
	return content, err == nil, err
}

// removeFiles deletes the list's files, except those that the journal decided about.
func (r *remover) removeFiles(files []removal.File, entries []journal.Entry) {
	for _, file := range files {
		if slices.ContainsFunc(entries, func(e journal.Entry) bool {
			return e.Kind == components.KindFile && e.Name == file.Path && (e.Now != "" || !e.Absent)
		}) {
			continue
		}
		what := "file " + file.Path
		content, there, err := r.regular(what, r.at(file.Path))
		r.residue(what, err)
		switch {
		case !there:
		case file.SHA256 != "" && components.Sum(content) != file.SHA256:
			r.kept(what, "somebody changed it after us")
		default:
			if err := os.Remove(r.at(file.Path)); err != nil {
				r.residue(what, err)
				continue
			}
			r.removed("%s", what)
		}
	}
}

// results is where libcni keeps what its plugins answered.
const results = "/var/lib/cni/results"

// containers returns the ids of those that CNI remembers on networks of ours.
func (r *remover) containers() []string {
	entries, err := os.ReadDir(r.at(results))
	if err != nil {
		return nil // CNI never was here
	}
	var ids []string
	for _, entry := range entries {
		for _, network := range slices.Concat(r.list.Own.Networks, r.list.Shared.Networks) {
			if id := containerOf(entry.Name(), network); id != "" {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// containerOf reads the id in a result's name, "<network>-<container>-<link>"; "" where it is of
// another network.
func containerOf(name, network string) string {
	rest, ours := strings.CutPrefix(name, network+"-")
	end := strings.LastIndex(rest, "-")
	if !ours || end < 0 {
		return ""
	}
	return rest[:end]
}

// removeResults deletes what CNI remembers of containers on networks of ours:
// a file for each, and one that containerd makes for the container's loopback,
// which only the container's id shows to be ours and so goes first.
func (r *remover) removeResults(networks []string) {
	entries, err := os.ReadDir(r.at(results))
	if err != nil {
		return
	}
	for _, entry := range entries {
		for _, network := range networks {
			container := containerOf(entry.Name(), network)
			if container == "" || !entry.Type().IsRegular() {
				continue
			}
			for _, name := range []string{"cni-loopback-" + container + "-lo", entry.Name()} {
				path := filepath.Join(results, name)
				if err := os.Remove(r.at(path)); gone(err) {
					continue
				} else if err != nil {
					r.residue("file "+path, err)
					continue
				}
				r.removed("file %s", path)
			}
		}
	}
}
