package bridge

import (
	"errors"
	"fmt"
	"strings"

	"qmp-dbus-bridge/bridge/fdpass"
	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/qmp"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// The error names that callers see.
const (
	errAccessDenied     = "org.freedesktop.DBus.Error.AccessDenied"
	errFailed           = "org.freedesktop.DBus.Error.Failed"
	errInvalidArgs      = "org.freedesktop.DBus.Error.InvalidArgs"
	errLimits           = "org.freedesktop.DBus.Error.LimitsExceeded"
	errNotSupported     = "org.freedesktop.DBus.Error.NotSupported"
	errPropertyReadOnly = "org.freedesktop.DBus.Error.PropertyReadOnly"
	errNoReply          = "org.freedesktop.DBus.Error.NoReply"
	errTimeout          = "org.freedesktop.DBus.Error.Timeout"
	errUnknownInterface = "org.freedesktop.DBus.Error.UnknownInterface"
	errUnknownMethod    = "org.freedesktop.DBus.Error.UnknownMethod"
	errUnknownObject    = "org.freedesktop.DBus.Error.UnknownObject"
	errUnknownProperty  = "org.freedesktop.DBus.Error.UnknownProperty"

	errDisconnected    = "org.qemu.VM1.Error.Disconnected"
	errHelpersNotReady = "org.qemu.VM1.Error.HelpersNotReady"
	errReplyLimits     = "org.qemu.VM1.Error.LimitsExceeded"
	errProtocol        = "org.qemu.VM1.Error.Protocol"
	errUnplugRefused   = "org.qemu.VM1.Error.UnplugRefused"
	qmpErrorPrefix     = "org.qemu.VM1.Error.Qmp."
	qmpClassGeneric    = "GenericError"
	textNoQEMU         = "there is no connection to QEMU now; watch the property Connected of org.qemu.VM1"
	maxErrorClassSize  = 64 // bytes of a class in an error name; QEMU's longest has 16
)

// failure is what a call is answered that can't succeed.
type failure struct{ name, text string }

func (f *failure) Error() string { return f.name + ": " + f.text }

// recorded is the name for the audit: of an error of QEMU's only with a class that QEMU has.
func (f *failure) recorded() string {
	if class, isQEMUs := strings.CutPrefix(f.name, qmpErrorPrefix); isQEMUs {
		return qmpErrorPrefix + (&qmp.Error{Class: class}).KnownClass()
	}
	return f.name
}

// forLog is err without QEMU's own words, which may quote a command's arguments.
func forLog(err error) error {
	var refused *qmp.Error
	if errors.As(err, &refused) {
		return errors.New(refused.KnownClass())
	}
	return err
}

func failuref(name, format string, args ...any) *failure {
	return &failure{name, fmt.Sprintf(format, args...)}
}

// failureOf finds the D-Bus error for an error of any layer below. Errors that no
// layer's contract names are ours: Failed.
func failureOf(err error) *failure {
	var (
		own      *failure
		refused  *qmp.Error
		argument *schema.ArgumentError
	)
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &refused):
		return &failure{qmpErrorPrefix + errorClass(refused.Class), dbusText(refused.Desc)}
	case errors.Is(err, qmp.ErrClosed):
		return &failure{errDisconnected, dbusText(err.Error())}
	case errors.Is(err, wire.ErrLimit), errors.Is(err, qmp.ErrFull), errors.Is(err, fdpass.ErrLimit):
		return &failure{errLimits, dbusText(err.Error())}
	case errors.Is(err, fdpass.ErrOthers):
		return &failure{errAccessDenied, dbusText(err.Error())}
	case errors.Is(err, picture.ErrTooLarge):
		return &failure{errReplyLimits, err.Error()}
	case errors.Is(err, picture.ErrNoPicture):
		return &failure{errProtocol, err.Error()}
	case errors.Is(err, schema.ErrNotSupported):
		return &failure{errNotSupported, dbusText(err.Error())}
	case errors.As(err, &argument):
		return &failure{errInvalidArgs, dbusText(argument.Error())}
	default:
		return &failure{errFailed, dbusText(err.Error())}
	}
}

// errorClass returns class if it can end a D-Bus error name, else GenericError.
func errorClass(class string) string {
	if len(class) <= maxErrorClassSize && wire.ValidMember(class) {
		return class
	}
	return qmpClassGeneric
}

// qmpError is a failure as a QMP client is told it. There are few classes of errors, and what is not QEMU's is of the
// general one.
func qmpError(name, text string) *qmp.Error {
	if class, isQEMUs := strings.CutPrefix(name, qmpErrorPrefix); isQEMUs {
		return &qmp.Error{Class: class, Desc: text}
	}
	return &qmp.Error{Class: qmpClassGeneric, Desc: text}
}

// dbusText makes a string fit for D-Bus: what QEMU says may hold anything.
func dbusText(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
