package schema

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"qmp-dbus-bridge/schema/wire"
)

// Own is a member of a command's arguments that a method gives by itself: what
// follows from the object that it is called of.
type Own struct {
	Name    string
	Value   any  // a string, bool or int
	Default bool // the caller may give another; else a caller who gives one is wrong
}

// AppendMethod appends the body of a call of a method that is another than the
// command's own to dst as the command's arguments. The method's arguments are in: the
// members of these names, and at the end, if there is an a{sv}, others by name. They
// are read and checked, fds is filled, and errors are, as in [Command.AppendArguments]; one that wraps
// ErrNotSupported says that this QEMU has no member of one of the names in in or own. What
// tells a union's branches apart must not be in own.
func (c *Command) AppendMethod(dst []byte, d *wire.Decoder, in []Arg, fds *[]Descriptor, own ...Own) ([]byte, error) {
	for _, o := range own {
		if _, found := c.arguments.index[o.Name]; !found {
			return dst, fmt.Errorf("%s.%s: %w", c.name, o.Name, ErrNotSupported)
		}
	}
	var f form
	for _, arg := range in {
		if arg.Type == "a{sv}" {
			f.dict = true
			break
		}
		f.front = append(f.front, c.argument(arg.Name, arg.Type))
	}
	return c.appendCall(dst, d, f, fds, own)
}

// ownMembers writes those of own that are no defaults.
func (a *arguments) ownMembers(s *shape, base int, own []Own) {
	for _, o := range own {
		if !o.Default {
			a.ownMember(s, base, o)
		}
	}
}

// defaults writes those of own that are, where the caller has given nothing.
func (a *arguments) defaults(s *shape, base int, own []Own) {
	for _, o := range own {
		if _, rank := s.find([]byte(o.Name)); o.Default && a.seen[base+rank] == absent {
			a.ownMember(s, base, o)
		}
	}
}

func (a *arguments) ownMember(s *shape, base int, o Own) {
	m, rank := s.find([]byte(o.Name))
	a.seen[base+rank] = asOwn
	a.comma()
	a.json = append(a.json, m.quoted...)
	a.count(4)
	a.ownValue(o.Value)
	if a.failed() {
		a.place.inMember([]byte(o.Name))
	}
}

func (a *arguments) ownValue(value any) {
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			a.fail("the string is not UTF-8")
			return
		}
		a.quote([]byte(v))
	case bool:
		a.json = strconv.AppendBool(a.json, v)
	case int:
		a.json = strconv.AppendInt(a.json, int64(v), 10)
	default:
		a.fail("%T is no type of a member of the method's own", v)
	}
}
