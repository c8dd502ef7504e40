package schema

import "strings"

// maxName is the longest member name that D-Bus allows, in bytes.
const maxName = 255

// MethodName returns the D-Bus method of a QMP command: the command is split
// at every byte that is neither an ASCII letter nor a digit, each part's first
// letter is upper-cased, and the parts are joined (block_resize is
// BlockResize). What would start with a digit, or be empty, starts with "_".
// A name that is too long for D-Bus gives "": the command has no method.
//
// Two commands may have one name; only a table of all of them can tell.
func MethodName(command string) string {
	return memberName(command, false)
}

// SignalName returns the D-Bus signal of a QMP event: as [MethodName], with
// the rest of each part lower-cased (BLOCK_JOB_COMPLETED is BlockJobCompleted).
func SignalName(event string) string {
	return memberName(event, true)
}

// ArgName returns the name of a QAPI member as an argument in introspection
// data: every byte that is neither an ASCII letter, a digit nor "_" becomes "_".
// It is for reading only; dictionary keys are QAPI names verbatim.
func ArgName(member string) string {
	name := []byte(member)
	for i, c := range name {
		if !isAlphanumeric(c) {
			name[i] = '_'
		}
	}
	return string(name)
}

func memberName(name string, lowerRest bool) string {
	var b strings.Builder
	start := true
	for i := range len(name) {
		c := name[i]
		switch {
		case !isAlphanumeric(c):
			start = true
			continue
		case start:
			c = upper(c)
		case lowerRest:
			c = lower(c)
		}
		if b.Len() == 0 && isDigit(c) {
			b.WriteByte('_')
		}
		b.WriteByte(c)
		start = false
	}
	switch {
	case b.Len() == 0:
		return "_"
	case b.Len() > maxName:
		return ""
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c - 'A' + 'a'
	}
	return c
}
