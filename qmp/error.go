package qmp

import "errors"

// The errors that callers tell apart with errors.Is.
var (
	// ErrClosed says that the connection has ended; what ended it is wrapped
	// beside it, if it was not Close.
	ErrClosed = errors.New("QMP connection ended")

	// ErrBusy says that QEMU accepted the connection, or left it in its backlog,
	// and sent no greeting: a monitor serves one client at a time and
	// tells the others nothing.
	ErrBusy = errors.New("another client holds the monitor, or QEMU hangs")

	// ErrFull says that a command was not sent because too much waits already.
	ErrFull = errors.New("too many commands wait for QEMU")
)

// Error is QEMU's own refusal of a command.
type Error struct {
	Class string // such as "GenericError"; unknown ones are kept
	Desc  string // for people
}

// KnownClass is the class if it is one that QEMU has (QapiErrorClass), else GenericError: for logs, where QEMU's
// own words, which may quote a command's arguments, have no place.
func (e *Error) KnownClass() string {
	switch e.Class {
	case "CommandNotFound", "DeviceNotActive", "DeviceNotFound", "KVMMissingCap":
		return e.Class
	}
	return "GenericError"
}

func (e *Error) Error() string { return e.Class + ": " + e.Desc }
