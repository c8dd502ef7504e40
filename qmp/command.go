package qmp

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Command is a request to QEMU.
type Command struct {
	Name string

	// Arguments is a JSON object without white space between its tokens, or
	// nil. It goes to QEMU as it is, so it must be valid by QEMU's rules too (no
	// duplicate names, no noncharacters): a syntax error is answered without an
	// id, so the answer may not find its command. It is the caller's again when
	// Start returns.
	Arguments []byte

	// OOB has the command executed out of band, past the others, where that was
	// negotiated; QEMU refuses it for commands that are not made for it.
	OOB bool

	// FDs are sent with the command, and closed in every case. Only getfd and
	// add-fd take any.
	FDs []int
}

// Reply is the outcome of a command.
type Reply struct {
	// Return is what QEMU returned, as it came; valid during the callback only.
	// It is one valid JSON value without duplicate names; its strings may hold
	// invalid UTF-8 and lone surrogates.
	Return jsontext.Value

	// Err is an *Error if QEMU refused the command, wraps ErrClosed if the
	// connection ended before the answer and ErrFull if too much waits already,
	// and is a plain error if the command itself is impossible.
	Err error
}

var emptyObject = jsontext.Value("{}")

// TakesFDs tells whether the command takes file descriptors off the monitor (all
// calls of qemu_chr_fe_get_msgfd in QEMU's monitor).
func (c *Command) TakesFDs() bool { return c.Name == "getfd" || c.Name == "add-fd" }

// check refuses what must not reach QEMU.
func (c *Command) check() error {
	switch {
	case !validName(c.Name):
		return &Error{"CommandNotFound", fmt.Sprintf("The command %.100q has not been found", c.Name)}
	case c.Arguments != nil && !looksLikeObject(c.Arguments):
		return errors.New("arguments are not a JSON object")
	case len(c.FDs) > 0 && !c.TakesFDs():
		return fmt.Errorf("%s takes no file descriptors", c.Name)
	case len(c.FDs) == 0 && c.TakesFDs():
		return &Error{"GenericError", "No file descriptor supplied via SCM_RIGHTS"}
	}
	return nil
}

// validName tells whether a command could have that name (docs/devel/qapi-code-gen:
// letters, digits, hyphen, underscore, and dots in a vendor's prefix).
func validName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return name != ""
}

func looksLikeObject(b []byte) bool {
	return len(b) >= 2 && b[0] == '{' && b[len(b)-1] == '}'
}

// appendRequest appends the command's line; id 0 is none. QEMU does not ask for the
// newline, which costs 1 to 4 % of a query-status; it is for proxies that read lines.
func appendRequest(dst []byte, c *Command, oob bool, id int) []byte {
	if oob {
		dst = append(dst, `{"exec-oob":"`...)
	} else {
		dst = append(dst, `{"execute":"`...)
	}
	dst = append(dst, c.Name...)
	dst = append(dst, '"')
	if c.Arguments != nil {
		dst = append(dst, `,"arguments":`...)
		dst = append(dst, c.Arguments...)
	}
	if id != 0 {
		dst = append(dst, `,"id":`...)
		dst = strconv.AppendInt(dst, int64(id), 10)
	}
	return append(dst, '}', '\n')
}
