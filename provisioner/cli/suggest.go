package cli

import (
	"fmt"
	"strings"
)

// meant is the end of a sentence about a name that is not there: the one that
// was probably meant, or all there are.
func meant(word string, there []string) string {
	switch close := closest(word, there); {
	case close != "":
		return fmt.Sprintf("; did you mean %s?", close)
	case len(there) == 0 || len(there) > 20:
		return ""
	}
	return "; there are " + strings.Join(there, ", ")
}

// closest is the name that the word was probably meant to be: one slip away, two
// in a long word. Empty where there is none: w2 is no slip of w1.
func closest(word string, there []string) string {
	best, least := "", min(len(word)/3, max(1, len(word)/4))+1
	for _, name := range there {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters must be added, removed, changed or swapped with
// the next to make one word of the other.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			changed := rows[i][j]
			if a[i] != b[j] {
				changed++
			}
			least := min(changed, rows[i][j+1]+1, rows[i+1][j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				least = min(least, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = least
		}
	}
	return rows[len(a)][len(b)]
}
