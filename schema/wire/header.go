package wire

import (
	"errors"
	"fmt"
)

// MessageType says what a message is. Others than these four have to be ignored.
type MessageType byte

// The message types.
const (
	MethodCall   MessageType = 1
	MethodReturn MessageType = 2
	Error        MessageType = 3
	Signal       MessageType = 4
)

// String gives the specification's name of t.
func (t MessageType) String() string {
	switch t {
	case MethodCall:
		return "METHOD_CALL"
	case MethodReturn:
		return "METHOD_RETURN"
	case Error:
		return "ERROR"
	case Signal:
		return "SIGNAL"
	}
	return fmt.Sprintf("type %d", byte(t))
}

// Flags are a message's flags. Unknown ones have to be ignored.
type Flags byte

// The flags.
const (
	NoReplyExpected               Flags = 1
	NoAutoStart                   Flags = 2
	AllowInteractiveAuthorization Flags = 4

	knownFlags = NoReplyExpected | NoAutoStart | AllowInteractiveAuthorization
)

// What libdbus keeps for itself: both buses disconnect whoever sends it.
const (
	localPath      = "/org/freedesktop/DBus/Local"
	localInterface = "org.freedesktop.DBus.Local"
)

// Header is a message's header without what the encoding decides (byte order,
// lengths). A field that a message doesn't have is empty or 0; no field may be
// present with such a value, except for Signature and UnixFDs, where both mean
// the same.
type Header struct {
	Type        MessageType
	Flags       Flags
	Serial      uint32 // not 0
	Path        string
	Interface   string
	Member      string
	ErrorName   string
	ReplySerial uint32
	Destination string
	Sender      string
	Signature   string // of the body
	UnixFDs     uint32 // file descriptors that come with the message
}

// check applies the rules for headers in both directions.
func (h *Header) check() error {
	if h.Type == 0 {
		return errors.New("message type is 0")
	}
	if h.Serial == 0 {
		return errors.New("serial is 0")
	}
	if field := h.missing(); field != "" {
		return fmt.Errorf("%v without %s", h.Type, field)
	}
	if err := h.checkNames(); err != nil {
		return err
	}
	return ValidateSignature(h.Signature)
}

// missing names a field that h's type requires and h doesn't have, or is "".
func (h *Header) missing() string {
	addressed := h.Type == MethodCall || h.Type == Signal
	answers := h.Type == MethodReturn || h.Type == Error
	switch {
	case addressed && h.Path == "":
		return "path"
	case addressed && h.Member == "":
		return "member"
	case h.Type == Signal && h.Interface == "":
		return "interface"
	case h.Type == Error && h.ErrorName == "":
		return "error name"
	case answers && h.ReplySerial == 0:
		return "reply serial"
	}
	return ""
}

// checkNames checks the fields that are there.
func (h *Header) checkNames() error {
	switch {
	case h.Path != "" && (!ValidPath(h.Path) || h.Path == localPath):
		return badField("path", h.Path)
	case h.Interface != "" && (!ValidInterface(h.Interface) || h.Interface == localInterface):
		return badField("interface", h.Interface)
	case h.Member != "" && !ValidMember(h.Member):
		return badField("member", h.Member)
	case h.ErrorName != "" && !ValidErrorName(h.ErrorName):
		return badField("error name", h.ErrorName)
	case h.Destination != "" && !ValidBusName(h.Destination):
		return badField("destination", h.Destination)
	case h.Sender != "" && !ValidBusName(h.Sender):
		return badField("sender", h.Sender)
	}
	return nil
}

// badField says that a header field has an invalid value, of which it quotes no
// more than a name can have.
func badField(field, value string) error {
	return fmt.Errorf("invalid %s %.*q", field, MaxName, value)
}
