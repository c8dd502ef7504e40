package goqemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/qmp"
)

// refusal is a *qmp.Error with the text that go-qemu gives it.
type refusal struct{ cause *qmp.Error }

func (r *refusal) Error() string { return cmp.Or(r.cause.Desc, r.cause.Class) }
func (r *refusal) Unwrap() error { return r.cause }

// qmpErrors begins the names of D-Bus errors that are QEMU's.
const qmpErrors = "org.qemu.VM1.Error.Qmp."

// kinds says what D-Bus errors are to programs that don't know D-Bus, where there is a word for it.
var kinds = map[string]error{
	"org.freedesktop.DBus.Error.AccessDenied":   fs.ErrPermission,
	"org.freedesktop.DBus.Error.Disconnected":   qmp.ErrClosed,
	"org.freedesktop.DBus.Error.NameHasNoOwner": qmp.ErrClosed,
	"org.freedesktop.DBus.Error.NoReply":        qmp.ErrClosed,
	"org.freedesktop.DBus.Error.ServiceUnknown": qmp.ErrClosed,
	"org.qemu.VM1.Error.Disconnected":           qmp.ErrClosed,
}

// busError is a D-Bus error that is not QEMU's.
type busError struct {
	cause dbus.Error
	kind  error // nil if there is no word for it
}

func (e *busError) Error() string {
	if text := e.cause.Error(); text != e.cause.Name { // which it is without a text
		return e.cause.Name + ": " + text
	}
	return e.cause.Name
}

func (e *busError) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.cause, e.kind}
}

// fromBus makes a call's error one of those that the package's comment tells.
func fromBus(err error) error {
	var (
		remote   dbus.Error
		format   dbus.FormatError
		tooLarge dbus.InvalidMessageError
	)
	switch {
	case errors.As(err, &remote):
		if class, refused := strings.CutPrefix(remote.Name, qmpErrors); refused {
			return &refusal{&qmp.Error{Class: class, Desc: textOf(remote)}}
		}
		return &busError{remote, kinds[remote.Name]}
	case errors.As(err, &format), errors.As(err, &tooLarge):
		return fmt.Errorf("the call can't be sent: %w", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return err
	default:
		return fmt.Errorf("%w: %w", qmp.ErrClosed, err) // the bus has gone
	}
}

// textOf is the text of a D-Bus error, empty if it has none.
func textOf(e dbus.Error) string {
	if len(e.Body) == 0 {
		return ""
	}
	text, _ := e.Body[0].(string)
	return text
}
