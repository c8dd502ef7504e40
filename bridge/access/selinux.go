package access

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// maxCategory is the highest number of a category that is looked at: the reference policy has c0 to c1023.
const maxCategory = 1023

// selinuxName is what users, roles, types and sensitivities are called (libsepol's identifiers).
var selinuxName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// parseSELinux reads a security label of the form user:role:type[:sensitivity[:categories]], the level perhaps
// followed by "-" and a high one, as attributes for policies. Categories are those of the low level: those that the
// caller has now, c1.c4 written out as four. It is not ok for other labels, such as AppArmor's.
func parseSELinux(label string) (cedar.Record, bool) {
	parts := strings.SplitN(label, ":", 4)
	if len(parts) < 3 {
		return cedar.Record{}, false
	}
	attributes := cedar.RecordMap{}
	for i, name := range []cedar.String{"user", "role", "type"} {
		if !selinuxName.MatchString(parts[i]) {
			return cedar.Record{}, false
		}
		attributes[name] = cedar.String(parts[i])
	}
	if len(parts) == 3 { // a policy without levels: there is nothing to compare
		return cedar.NewRecord(attributes), true
	}
	low, high, ranged := strings.Cut(parts[3], "-")
	sensitivity, categories, err := parseLevel(low)
	if err == nil && ranged {
		_, _, err = parseLevel(high)
	}
	if err != nil {
		return cedar.Record{}, false
	}
	attributes["sensitivity"], attributes["categories"] = sensitivity, categories
	return cedar.NewRecord(attributes), true
}

// parseLevel reads sensitivity[:category,category.category,...].
func parseLevel(text string) (sensitivity cedar.String, categories cedar.Set, err error) {
	name, list, some := strings.Cut(text, ":")
	if !selinuxName.MatchString(name) {
		return "", cedar.Set{}, fmt.Errorf("%q is no sensitivity", name)
	}
	if !some {
		return cedar.String(name), cedar.NewSet(), nil
	}
	var all []cedar.Value
	next := 0 // they are in order, each once
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, ".")
		first, err := parseCategory(from, next)
		last := first
		if err == nil && ranged {
			last, err = parseCategory(to, first+1)
		}
		if err != nil {
			return "", cedar.Set{}, err
		}
		for c := first; c <= last; c++ {
			all = append(all, cedar.String("c"+strconv.Itoa(c)))
		}
		next = last + 1
	}
	return cedar.String(name), cedar.NewSet(all...), nil
}

// parseCategory reads c and a number from least to maxCategory.
func parseCategory(text string, least int) (int, error) {
	digits, found := strings.CutPrefix(text, "c")
	number, err := strconv.Atoi(digits)
	if !found || err != nil || number < least || number > maxCategory || strconv.Itoa(number) != digits {
		return 0, fmt.Errorf("%q is no category here", text)
	}
	return number, nil
}
