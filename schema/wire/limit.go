package wire

import (
	"errors"
	"fmt"
)

// Limits of the D-Bus specification, sections "Valid Signatures", "Marshalling
// containers", "Message Format" and "Valid Names".
const (
	MaxMessage     = 128 << 20 // bytes, header and body
	MaxArray       = 64 << 20  // bytes of elements, without the length and its padding
	MaxSignature   = 255       // type codes
	MaxName        = 255       // bytes of a bus, interface, member or error name
	MaxArrayDepth  = 32        // arrays in each other, in one signature
	MaxStructDepth = 32        // structs and dict entries in each other, in one signature
	MaxDepth       = 64        // containers around a value, across variants

	// MaxSendDepth is the nesting that an Encoder writes. The specification and
	// dbus-daemon accept MaxDepth containers (1.14.10 delivers 64 variants in each
	// other), but dbus-broker counts the message as one and disconnects the sender
	// of more than 63 (tried with 33; so does its source, c_dvar_next_varg).
	MaxSendDepth = MaxDepth - 1
)

// ErrLimit is the cause (errors.Is) of every failure for a size or a depth.
var ErrLimit = errors.New("limit of D-Bus exceeded")

var (
	errTooLong     = fmt.Errorf("%w: signature of more than %d codes", ErrLimit, MaxSignature)
	errArraysDeep  = fmt.Errorf("%w: signature with more than %d arrays in each other", ErrLimit, MaxArrayDepth)
	errStructsDeep = fmt.Errorf("%w: signature with more than %d structs in each other", ErrLimit, MaxStructDepth)
	errNestedDeep  = fmt.Errorf("%w: value in more than %d containers", ErrLimit, MaxDepth)
	errSendDeep    = fmt.Errorf("%w: value in more than %d containers", ErrLimit, MaxSendDepth)
	errArrayLong   = fmt.Errorf("%w: array of more than %d bytes", ErrLimit, MaxArray)
	errMessageLong = fmt.Errorf("%w: message of more than %d bytes", ErrLimit, MaxMessage)
)
