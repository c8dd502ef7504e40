package wire_test

import (
	"fmt"
	"math"
	"reflect"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/schema/wire"
)

// Values of our Decoder and of godbus are compared as trees: numbers, bools and
// strings as they are, and what follows for the rest.
type (
	bits      uint64 // of a double, so that NaN equals itself
	path      string
	signature string
	fdIndex   uint32
	list      []any // an array's elements or a struct's members
	variant   struct {
		signature string
		value     any
	}
	dict map[any]any // the last of equal keys counts, as in godbus
)

// ourTree reads the value at d.
func ourTree(d *wire.Decoder) any {
	switch kind := d.Kind(); kind {
	case 'd':
		return bits(math.Float64bits(d.Double()))
	case 's':
		return d.String()
	case 'o':
		return path(d.ObjectPath())
	case 'g':
		return signature(d.Signature())
	case 'h':
		return fdIndex(d.UnixFD())
	case 'v':
		d.Enter()
		defer d.Exit()
		return variant{d.Type(), ourTree(d)}
	case 'a':
		if d.Type()[1] == '{' {
			return ourDict(d)
		}
		return ourList(d)
	case '(':
		return ourList(d)
	default:
		return ourNumber(d, kind)
	}
}

func ourNumber(d *wire.Decoder, kind byte) any {
	switch kind {
	case 'y':
		return d.Byte()
	case 'b':
		return d.Bool()
	case 'n':
		return d.Int16()
	case 'q':
		return d.Uint16()
	case 'i':
		return d.Int32()
	case 'u':
		return d.Uint32()
	case 'x':
		return d.Int64()
	case 't':
		return d.Uint64()
	}
	panic(fmt.Sprintf("kind %q", kind))
}

func ourList(d *wire.Decoder) list {
	l := list{}
	d.Enter()
	for d.More() {
		l = append(l, ourTree(d))
	}
	d.Exit()
	return l
}

func ourDict(d *wire.Decoder) dict {
	m := dict{}
	d.Enter()
	for d.More() {
		d.Enter()
		m.set(ourTree(d), ourTree(d))
		d.Exit()
	}
	d.Exit()
	return m
}

// set makes an entry. Keys that Go's maps treat unlike bytes are left out: NaN,
// which equals nothing, and the two zeros, which are equal.
func (m dict) set(key, value any) {
	if b, ok := key.(bits); ok {
		if f := math.Float64frombits(uint64(b)); f == 0 || f != f {
			return
		}
	}
	m[key] = value
}

// ourBody reads all of a message that is valid.
func ourBody(m *wire.Message) (list, error) {
	l := list{}
	d := m.Decoder()
	for d.More() {
		l = append(l, ourTree(&d))
	}
	return l, d.End()
}

// godbusTree makes a tree of a value that godbus has decoded or shall encode.
func godbusTree(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case float64:
		return bits(math.Float64bits(x))
	case dbus.ObjectPath:
		return path(x)
	case dbus.Signature:
		return signature(x.String())
	case dbus.UnixFDIndex:
		return fdIndex(x)
	case dbus.Variant:
		return variant{x.Signature().String(), godbusTree(reflect.ValueOf(x.Value()))}
	}
	switch v.Kind() {
	case reflect.Slice:
		return godbusList(v.Len(), v.Index)
	case reflect.Struct:
		return godbusList(v.NumField(), v.Field)
	case reflect.Interface:
		return godbusTree(v.Elem())
	case reflect.Map:
		m := dict{}
		for i := v.MapRange(); i.Next(); {
			m.set(godbusTree(i.Key()), godbusTree(i.Value()))
		}
		return m
	}
	return v.Interface()
}

func godbusList(n int, at func(int) reflect.Value) list {
	l := list{}
	for i := range n {
		l = append(l, godbusTree(at(i)))
	}
	return l
}

func godbusBody(body []any) list {
	return godbusList(len(body), func(i int) reflect.Value { return reflect.ValueOf(body[i]) })
}

// godbusHeader is the header that godbus has decoded.
func godbusHeader(m *dbus.Message) wire.Header {
	text := func(f dbus.HeaderField) string {
		switch v := m.Headers[f].Value().(type) {
		case string:
			return v
		case dbus.ObjectPath:
			return string(v)
		case dbus.Signature:
			return v.String()
		}
		return ""
	}
	number := func(f dbus.HeaderField) uint32 {
		n, _ := m.Headers[f].Value().(uint32)
		return n
	}
	return wire.Header{
		Type:        wire.MessageType(m.Type),
		Flags:       wire.Flags(m.Flags),
		Serial:      m.Serial(),
		Path:        text(dbus.FieldPath),
		Interface:   text(dbus.FieldInterface),
		Member:      text(dbus.FieldMember),
		ErrorName:   text(dbus.FieldErrorName),
		ReplySerial: number(dbus.FieldReplySerial),
		Destination: text(dbus.FieldDestination),
		Sender:      text(dbus.FieldSender),
		Signature:   text(dbus.FieldSignature),
		UnixFDs:     number(dbus.FieldUnixFDs),
	}
}
