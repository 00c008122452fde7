package remove

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"

	"provision/components"
	"provision/components/journal"
	"provision/components/removal"
)

// unfinished is how provisioner/ssh names what it writes beside a file, before
// it has the file's name. One of a killed run stays.
var unfinished = regexp.MustCompile(`^\.provision\.[A-Za-z0-9]{8,12}$`)

// removeUnfinished deletes what killed runs left beside files of ours that lie
// in folders of others: a file, or a folder with a single file in it.
func (r *remover) removeUnfinished(things []removal.Things, entries []journal.Entry) {
	dirs := []string{components.Units}
	for _, t := range things {
		for _, file := range t.Files {
			dirs = append(dirs, filepath.Dir(file.Path))
		}
	}
	for _, entry := range entries {
		if entry.Kind == components.KindFile && !r.wholly(entry.Name) {
			dirs = append(dirs, filepath.Dir(entry.Name))
		}
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		found, err := os.ReadDir(r.at(dir))
		if err != nil {
			continue // most often there is no such folder
		}
		for _, entry := range found {
			path := filepath.Join(dir, entry.Name())
			switch {
			case !unfinished.MatchString(entry.Name()):
				continue
			case entry.IsDir():
				os.Remove(filepath.Join(r.at(path), "new"))
				err = unix.Rmdir(r.at(path))
			case entry.Type().IsRegular():
				err = os.Remove(r.at(path))
			default:
				continue // not of our making
			}
			if err != nil && !gone(err) {
				r.residue("file "+path, err)
				continue
			}
			r.removed("unfinished file %s", path)
		}
	}
}
