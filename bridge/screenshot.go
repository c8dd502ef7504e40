package bridge

import (
	"qmp-dbus-bridge/bridge/picture"
	"qmp-dbus-bridge/schema"
	"qmp-dbus-bridge/schema/wire"
)

// screenshotMethod gives a picture of the screen, as a file in memory. It is decided as a screendump without a filename: QEMU
// writes into a file of the bridge's, and a screendump of the caller's own always has one.
func screenshotMethod() method {
	in := []schema.Arg{{Name: "options", Type: "a{sv}"}}
	take := func(r *request) { r.bridge.screens.take(r) }
	return answering(argumentMethod("Screenshot", in, writeScreendump, nil), schema.Arg{Name: "image", Type: "h"}, take)
}

// screenOptions are what a caller wants a picture of, and how: JSON, nil where it says nothing.
type screenOptions struct {
	device, head []byte
	format       picture.Format
}

// screenTypes are the options, and the D-Bus types of each.
var screenTypes = map[string]string{"device": "s", "head": "ynqiuxt", "format": "s"}

// writeScreendump reads the options. The format is not QEMU's business.
func writeScreendump(r *request) ([]byte, error) {
	o := screenOptions{format: picture.PNG}
	from := options{place: "options", types: screenTypes, hint: "; there are device, head and format", take: o.take}
	d := r.Decoder()
	if err := from.dictionary(&d); err != nil {
		return nil, err
	}
	r.subject = o.format
	return o.arguments(), nil
}

// take takes an option in.
func (o *screenOptions) take(name, place string, d *wire.Decoder) (err error) {
	switch name {
	case "device":
		o.device, err = schema.AppendValue(nil, d, place)
	case "head":
		o.head, err = schema.AppendValue(nil, d, place)
	default:
		o.format = picture.Format(d.String())
		if !o.format.Known() {
			err = failuref(errInvalidArgs, "%s: '%.64s' is not one of png, ppm", place, o.format)
		}
	}
	return err
}

// arguments are those of the command.
func (o *screenOptions) arguments() []byte {
	arguments := []byte{'{'}
	for _, member := range []struct {
		name  string
		value []byte
	}{{`"device":`, o.device}, {`"head":`, o.head}} {
		if member.value == nil {
			continue
		}
		if len(arguments) > 1 {
			arguments = append(arguments, ',')
		}
		arguments = append(append(arguments, member.name...), member.value...)
	}
	return append(arguments, '}')
}
