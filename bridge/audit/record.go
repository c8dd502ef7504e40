package audit

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"qmp-dbus-bridge/bridge/access"
)

// maxResult bounds a record's result class, which may come from QEMU.
const maxResult = 64 // bytes

// timeFormat is RFC 3339 in UTC with microseconds, always of the same length.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// Record is the audit of one decision. It has no place for arguments.
type Record struct {
	Time     time.Time       // when the call was decided; the zero time is replaced by that of Commit
	Name     string          // unique name of whoever called
	Caller   *access.Caller  // nil if it has no identity
	Decision access.Decision // what was decided
	Result   string          // how it ended, in a word: "ok", "denied", "GenericError"; cut at 64 bytes
	Duration time.Duration   // from the call's arrival to its reply
}

// AppendJSON appends the record as one line of JSON, with these members in this order, always:
//
//	time         string, RFC 3339, UTC, microseconds
//	caller       string, unique name
//	uid          number; null if the caller has no identity
//	pid          number; null if unknown
//	label        string, security label; empty if there is none
//	action       string, see Action.String
//	decision     string, "allow" or "deny"
//	policy       string, see Decision.Policy
//	result       string
//	duration_us  number
//
// Characters that don't print, bytes that are not UTF-8 and control characters are escaped, so that a record
// is one line and harmless on a terminal.
func (r Record) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	for i, field := range r.fields() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, field.name...)
		dst = append(dst, '"', ':')
		if field.literal {
			dst = append(dst, field.value...)
		} else {
			dst = append(appendEscaped(append(dst, '"'), field.value), '"')
		}
	}
	return append(dst, '}', '\n')
}

// field is one member of a record. A literal is a number or null.
type field struct {
	name, value string
	literal     bool
}

func (r Record) fields() [10]field {
	uid, pid, label := "null", "null", ""
	if r.Caller != nil {
		uid = strconv.FormatUint(uint64(r.Caller.UID), 10)
		label = r.Caller.Label
		if r.Caller.PID != 0 {
			pid = strconv.FormatUint(uint64(r.Caller.PID), 10)
		}
	}
	return [10]field{
		{name: "time", value: r.Time.UTC().Format(timeFormat)},
		{name: "caller", value: r.Name},
		{name: "uid", value: uid, literal: true},
		{name: "pid", value: pid, literal: true},
		{name: "label", value: label},
		{name: "action", value: r.Decision.Action()},
		{name: "decision", value: verdict(r.Decision)},
		{name: "policy", value: r.Decision.Policy()},
		{name: "result", value: r.Result[:min(len(r.Result), maxResult)]},
		{name: "duration_us", value: strconv.FormatInt(r.Duration.Microseconds(), 10), literal: true},
	}
}

func verdict(d access.Decision) string {
	if d.Allowed() {
		return "allow"
	}
	return "deny"
}

// appendEscaped appends the inside of a JSON string: what doesn't print is escaped too, for example U+009B,
// which terminals take for the beginning of a control sequence.
func appendEscaped(dst []byte, text string) []byte {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == utf8.RuneError && size == 1:
			dst = append(dst, `\ufffd`...)
		case strconv.IsPrint(r):
			dst = append(dst, text[i:i+size]...)
		case r < 0x10000:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default: // a surrogate pair
			r -= 0x10000
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		}
		i += size
	}
	return dst
}
