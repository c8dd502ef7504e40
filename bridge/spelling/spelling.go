package spelling

import (
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// maxSlip is how many letters a word may differ in from one that is meant.
const maxSlip = 2

// Nearest is the known word that is most like word, at most two letters and half of it away; upper and lower case make no
// difference. Of several it is the first in the alphabet; "" if there is none.
func Nearest(word string, known []string) string {
	best, distance := "", maxSlip+1
	letters := utf8.RuneCountInString(word)
	for _, candidate := range known {
		more := utf8.RuneCountInString(candidate) - letters
		if more > maxSlip || more < -maxSlip { // not worth to be compared
			continue
		}
		d := slips(word, candidate)
		if 2*d <= letters && (d < distance || d == distance && candidate < best) {
			best, distance = candidate, d
		}
	}
	return best
}

// slips is in how many letters two words differ.
func slips(word, candidate string) int {
	return levenshtein.ComputeDistance(strings.ToLower(word), strings.ToLower(candidate))
}
