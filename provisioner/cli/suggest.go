package cli

import (
	"fmt"
	"strings"
)

// meant is the end of a sentence about a name that is not there: the one that
// was probably meant, or all there are.
func meant(word string, there []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, name := range there {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(there) == 0 || len(there) > 20:
		return ""
	}
	return "; there are " + strings.Join(there, ", ")
}

// distance is how many letters must be added, removed or changed to make one
// word of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
