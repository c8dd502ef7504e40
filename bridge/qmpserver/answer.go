package qmpserver

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"qmp-dbus-bridge/qmp"
)

// lineEnd is behind all that QEMU sends.
const lineEnd = "\r\n"

// appendGreeting appends what QEMU says first (qmp_greeting in monitor/qmp.c).
func appendGreeting(dst []byte, v qmp.Version) []byte {
	dst = append(dst, `{"QMP": {"version": {"qemu": {"micro": `...)
	dst = strconv.AppendInt(dst, int64(v.Micro), 10)
	dst = append(dst, `, "minor": `...)
	dst = strconv.AppendInt(dst, int64(v.Minor), 10)
	dst = append(dst, `, "major": `...)
	dst = strconv.AppendInt(dst, int64(v.Major), 10)
	dst = append(dst, `}, "package": `...)
	dst = appendText(dst, v.Package)
	return append(dst, `}, "capabilities": []}}`+lineEnd...)
}

// appendReturn appends a reply with a result. It is on one line, if id and result are.
func appendReturn(dst []byte, id, result jsontext.Value) []byte {
	dst = append(dst, `{"return": `...)
	dst = append(dst, result...)
	if id != nil {
		dst = append(dst, `, "id": `...)
		dst = append(dst, id...)
	}
	return append(dst, '}', '\r', '\n')
}

// appendError appends a reply with an error.
func appendError(dst []byte, id jsontext.Value, e *qmp.Error) []byte {
	dst = append(dst, '{')
	if id != nil {
		dst = append(dst, `"id": `...)
		dst = append(dst, id...)
		dst = append(dst, `, `...)
	}
	dst = append(dst, `"error": {"class": `...)
	dst = appendText(dst, e.Class)
	dst = append(dst, `, "desc": `...)
	dst = appendText(dst, e.Desc)
	return append(dst, `}}`+lineEnd...)
}

// appendEvent appends an event. data is valid JSON, or nil.
func appendEvent(dst []byte, e qmp.Event) []byte {
	seconds, micros := int64(-1), int64(-1) // what QEMU sends if it has no time
	if e.Timestamp >= 0 {
		seconds, micros = e.Timestamp/1e6, e.Timestamp%1e6
	}
	dst = append(dst, `{"timestamp": {"seconds": `...)
	dst = strconv.AppendInt(dst, seconds, 10)
	dst = append(dst, `, "microseconds": `...)
	dst = strconv.AppendInt(dst, micros, 10)
	dst = append(dst, `}, "event": `...)
	dst = appendText(dst, e.Name)
	if e.Data != nil {
		dst = append(dst, `, "data": `...)
		dst = append(dst, e.Data...)
	}
	return append(dst, '}', '\r', '\n')
}

// appendText appends a JSON string; what is no UTF-8 in it becomes U+FFFD.
func appendText(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // its only error is about what became U+FFFD
	return dst
}
