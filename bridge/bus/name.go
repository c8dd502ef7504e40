package bus

import "strings"

// maxName is the longest bus name of the D-Bus specification, bytes.
const maxName = 255

// driverName is the bus's own name, which nobody can own.
const driverName = "org.freedesktop.DBus"

// validName reports whether s is a well-known bus name that a connection can
// own: two or more elements of letters, digits, '_' and '-', none of which
// begins with a digit.
func validName(s string) bool {
	elements := strings.Split(s, ".")
	if len(s) > maxName || len(elements) < 2 || s == driverName {
		return false
	}
	for _, e := range elements {
		if e == "" || e[0] >= '0' && e[0] <= '9' || strings.ContainsFunc(e, outsideName) {
			return false
		}
	}
	return true
}

func outsideName(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	return !letter && (r < '0' || r > '9') && r != '_' && r != '-'
}
