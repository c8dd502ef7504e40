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

	// Option, if it is set, makes this no member of the command's arguments but an option of the method: in the dictionary a
	// caller may give one of Words, which is put there. Value and Default mean nothing then.
	Option *string
	Words  []string
}

// AppendMethod appends the body of a call of a method that is another than the
// command's own to dst as the command's arguments. The method's arguments are in: the
// members of these names, and at the end, if there is an a{sv}, others by name. They
// are read and checked, fds is filled, and errors are, as in [Command.AppendArguments]; one that wraps
// ErrNotSupported says that this QEMU has no member of one of the names in in or own. What
// tells a union's branches apart must not be in own.
func (c *Command) AppendMethod(dst []byte, d *wire.Decoder, in []Arg, fds *[]Descriptor, own ...Own) ([]byte, error) {
	for _, o := range own {
		if _, found := c.arguments.find([]byte(o.Name)); !found && o.Option == nil {
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
		if !o.Default && o.Option == nil {
			a.ownMember(s, base, o)
		}
	}
}

// defaults writes those of own that are, where the caller has given nothing.
func (a *arguments) defaults(s *shape, base int, own []Own) {
	for _, o := range own {
		if _, rank := s.find([]byte(o.Name)); o.Default && o.Option == nil && a.seen[base+rank] == absent {
			a.ownMember(s, base, o)
		}
	}
}

// option takes the value of an entry of the method's dictionary, if it is an option of its own.
func (a *arguments) option(base int, key []byte) bool {
	if base > 0 { // that of a member
		return false
	}
	for _, o := range a.own {
		if o.Option == nil || o.Name != string(key) {
			continue
		}
		if *o.Option != "" {
			a.fail("given twice")
		}
		size, tokens := len(a.json), a.tokens
		a.typed(&qtype{kind: kindEnum, values: o.Words})
		if !a.failed() {
			*o.Option = string(a.json[size+1 : len(a.json)-1]) // without its quotes
		}
		a.json, a.tokens = a.json[:size], tokens
		return true
	}
	return false
}

// options are the names of those that there are in such a dictionary.
func (a *arguments) options(base int) (names []string) {
	for _, o := range a.own {
		if base == 0 && o.Option != nil {
			names = append(names, o.Name)
		}
	}
	return names
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
