package journal

import (
	"path"

	"provision/components"
)

// Merge reads files, in the order of their names, as one journal: for each key
// the first old value (the only one from before us) and the last value that we
// set, in the order in which the keys first appeared. An entry that was written
// before a change but never completed has no Now; it does not hide an earlier one.
func Merge(files []File) []Entry {
	var merged []Entry
	place := map[components.Touch]int{}
	for _, file := range files {
		for _, entry := range file.Entries {
			at, known := place[entry.Touch()]
			if !known {
				place[entry.Touch()] = len(merged)
				merged = append(merged, entry)
				continue
			}
			if entry.Now != "" {
				merged[at].Now = entry.Now
			}
		}
	}
	return merged
}

func cleanPath(name string) bool {
	return path.IsAbs(name) && path.Clean(name) == name && name != "/"
}
