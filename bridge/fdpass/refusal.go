package fdpass

import (
	"errors"
	"fmt"

	"qmp-dbus-bridge/qmp"
)

// Why a caller's command is refused before QEMU is told anything. Errors that wrap these say more, and what to do.
var (
	ErrLimit  = errors.New("more than QEMU may be given")
	ErrOthers = errors.New("the descriptor is another's")
)

// refusal is one of those, in other words.
type refusal struct {
	why  error
	text string
}

func (r *refusal) Error() string { return r.text }

func (r *refusal) Unwrap() error { return r.why }

func refusef(why error, format string, args ...any) error {
	return &refusal{why, fmt.Sprintf(format, args...)}
}

// isTold tells whether QEMU has answered a command: else it may not have executed it.
func isTold(err error) bool {
	_, refused := errors.AsType[*qmp.Error](err)
	return err == nil || refused
}
