package bridge

import (
	"strings"

	"qmp-dbus-bridge/schema/wire"
)

// options reads arguments by their names, from a dictionary or one by one: each once at most, and of a D-Bus type that it may have, in however
// many variants. It is for methods whose options are not simply a command's members, which package schema reads.
type options struct {
	place string                                              // what errors call them
	types map[string]string                                   // the D-Bus types of each that there is, a letter each
	hint  string                                              // said behind the name of one that there is not
	take  func(name, place string, value *wire.Decoder) error // takes one in
	seen  map[string]bool
}

// dictionary reads one.
func (o *options) dictionary(d *wire.Decoder) error {
	for d.Enter(); d.More(); d.Exit() {
		d.Enter()
		if err := o.member(d.String(), d); err != nil {
			return err
		}
	}
	if err := d.Err(); err != nil {
		return failuref(errInvalidArgs, "%s: %v", o.place, err)
	}
	return nil
}

// member reads one of a name, the decoder being at its value.
func (o *options) member(name string, d *wire.Decoder) error {
	for d.Kind() == 'v' {
		d.Enter()
		defer d.Exit()
	}
	place := o.place + "." + name
	types, known := o.types[name]
	switch is := d.Type(); {
	case !known:
		return failuref(errInvalidArgs, "%s: there is no %.64q%s", o.place, name, o.hint)
	case o.seen[name]:
		return failuref(errInvalidArgs, "%s: given twice", place)
	case len(is) != 1 || !strings.Contains(types, is):
		return failuref(errInvalidArgs, "%s: of D-Bus type '%.64s', which is none of '%s'", place, is, types)
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[name] = true
	return o.take(name, place, d)
}
