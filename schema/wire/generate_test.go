package wire_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"strings"

	"github.com/godbus/dbus/v5"

	"qmp-dbus-bridge/schema/wire"
)

// goTypes holds the Go type that godbus has for each type code but containers.
var goTypes = map[byte]reflect.Type{
	'y': reflect.TypeFor[byte](),
	'b': reflect.TypeFor[bool](),
	'n': reflect.TypeFor[int16](),
	'q': reflect.TypeFor[uint16](),
	'i': reflect.TypeFor[int32](),
	'u': reflect.TypeFor[uint32](),
	'x': reflect.TypeFor[int64](),
	't': reflect.TypeFor[uint64](),
	'd': reflect.TypeFor[float64](),
	's': reflect.TypeFor[string](),
	'o': reflect.TypeFor[dbus.ObjectPath](),
	'g': reflect.TypeFor[dbus.Signature](),
	'h': reflect.TypeFor[dbus.UnixFDIndex](),
	'v': reflect.TypeFor[dbus.Variant](),
}

// goType gives the Go type that godbus encodes as sig.
func goType(sig string) reflect.Type {
	if t, ok := goTypes[sig[0]]; ok {
		return t
	}
	inner := sig[1:]
	switch {
	case strings.HasPrefix(sig, "a{"):
		return reflect.MapOf(goType(sig[2:3]), goType(sig[3:len(sig)-1]))
	case sig[0] == 'a':
		return reflect.SliceOf(goType(inner))
	}
	var fields []reflect.StructField
	for first, rest := wire.SplitSignature(inner[:len(inner)-1]); first != ""; first, rest = wire.SplitSignature(rest) {
		name := "F" + strings.Repeat("x", len(fields))
		fields = append(fields, reflect.StructField{Name: name, Type: goType(first)})
	}
	return reflect.StructOf(fields)
}

// source makes signatures and values of a fuzzer's bytes; when they are used up,
// zeros follow.
type source struct {
	b     []byte
	fds   uint32 // bound of file descriptor indices
	depth int    // containers around what is made
}

func (s *source) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *source) uint64() uint64 {
	var b [8]byte
	s.b = s.b[copy(b[:], s.b):]
	return binary.LittleEndian.Uint64(b[:])
}

// below gives a number less than n.
func (s *source) below(n int) int { return int(s.byte()) % n }

// oneType makes a complete type. godbus has no dictionaries with keys of b or g.
func (s *source) oneType(depth int) string {
	const basics = "ysuxbnqitdogh"
	const keys = "ysnqiuxtdoh"
	choice := s.below(20)
	if depth == 0 && choice > len(basics) {
		choice = 0
	}
	switch {
	case choice < len(basics):
		return basics[choice : choice+1]
	case choice == len(basics):
		return "v"
	case choice < 16:
		return "a" + s.oneType(depth-1)
	case choice < 18:
		at := s.below(len(keys))
		return "a{" + keys[at:at+1] + s.oneType(depth-1) + "}"
	}
	var sig strings.Builder
	for range 1 + s.below(3) {
		sig.WriteString(s.oneType(depth - 1))
	}
	return "(" + sig.String() + ")"
}

// value makes a value of type sig.
func (s *source) value(sig string) reflect.Value {
	v := reflect.New(goType(sig)).Elem()
	s.depth++
	defer func() { s.depth-- }()
	switch {
	case sig[0] == '(':
		i := 0
		for first, rest := wire.SplitSignature(sig[1 : len(sig)-1]); first != ""; first, rest = wire.SplitSignature(rest) {
			v.Field(i).Set(s.value(first))
			i++
		}
	case strings.HasPrefix(sig, "a{"):
		v.Set(reflect.MakeMap(v.Type()))
		for range s.below(4) {
			v.SetMapIndex(s.key(sig[2:3]), s.value(sig[3:len(sig)-1]))
		}
	case sig[0] == 'a':
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		for range s.below(5) {
			v.Set(reflect.Append(v, s.value(sig[1:])))
		}
	case sig[0] == 'v':
		inner := s.oneType(max(0, 3-s.depth))
		if inner == "v" && s.depth > 8 {
			inner = "y"
		}
		v.Set(reflect.ValueOf(dbus.MakeVariantWithSignature(s.value(inner).Interface(), dbus.ParseSignatureMust(inner))))
	default:
		s.basic(sig[0], v)
	}
	return v
}

// key makes the key of an entry. godbus can't encode a map with a NaN: it doesn't
// find the value again.
func (s *source) key(sig string) reflect.Value {
	v := s.value(sig)
	if v.Kind() == reflect.Float64 && math.IsNaN(v.Float()) {
		v.SetFloat(1)
	}
	return v
}

// basic fills v, a value of a basic type.
func (s *source) basic(code byte, v reflect.Value) {
	switch code {
	case 'b':
		v.SetBool(s.byte()&1 == 1)
	case 'd':
		v.SetFloat(math.Float64frombits(s.uint64()))
	case 's':
		v.SetString(strings.ReplaceAll(strings.ToValidUTF8(s.bytes(), "\ufffd"), "\x00", "0"))
	case 'o':
		v.SetString("/" + strings.Repeat("a/", s.below(3)) + "b")
	case 'g':
		v.Set(reflect.ValueOf(dbus.ParseSignatureMust(strings.Repeat(s.oneType(2), s.below(3)))))
	case 'h':
		v.SetUint(s.uint64() % uint64(s.fds))
	case 'y', 'q', 'u', 't':
		v.SetUint(s.uint64() >> (64 - v.Type().Bits()))
	default:
		v.SetInt(int64(s.uint64()) >> (64 - v.Type().Bits()))
	}
}

func (s *source) bytes() string {
	n := min(s.below(40), len(s.b))
	text := string(s.b[:n])
	s.b = s.b[n:]
	return text
}

// write encodes v, a value that source made for the type sig.
func write(e *wire.Encoder, sig string, v reflect.Value) {
	switch {
	case sig[0] == '(':
		e.OpenStruct()
		i := 0
		for first, rest := wire.SplitSignature(sig[1 : len(sig)-1]); first != ""; first, rest = wire.SplitSignature(rest) {
			write(e, first, v.Field(i))
			i++
		}
		e.CloseStruct()
	case strings.HasPrefix(sig, "a{"):
		e.OpenArray(sig[1:])
		for i := v.MapRange(); i.Next(); {
			e.OpenDictEntry()
			write(e, sig[2:3], i.Key())
			write(e, sig[3:len(sig)-1], i.Value())
			e.CloseDictEntry()
		}
		e.CloseArray()
	case sig[0] == 'a':
		e.OpenArray(sig[1:])
		for i := range v.Len() {
			write(e, sig[1:], v.Index(i))
		}
		e.CloseArray()
	case sig[0] == 'v':
		x := v.Interface().(dbus.Variant)
		e.OpenVariant(x.Signature().String())
		write(e, x.Signature().String(), reflect.ValueOf(x.Value()))
		e.CloseVariant()
	default:
		writeBasic(e, sig[0], v)
	}
}

func writeBasic(e *wire.Encoder, code byte, v reflect.Value) {
	switch code {
	case 'y':
		e.Byte(byte(v.Uint()))
	case 'b':
		e.Bool(v.Bool())
	case 'n':
		e.Int16(int16(v.Int()))
	case 'q':
		e.Uint16(uint16(v.Uint()))
	case 'i':
		e.Int32(int32(v.Int()))
	case 'u':
		e.Uint32(uint32(v.Uint()))
	case 'x':
		e.Int64(v.Int())
	case 't':
		e.Uint64(v.Uint())
	case 'd':
		e.Double(v.Float())
	case 's':
		e.StringBytes([]byte(v.String()))
	case 'o':
		e.ObjectPath(v.String())
	case 'g':
		e.Signature(v.Interface().(dbus.Signature).String())
	case 'h':
		e.UnixFD(uint32(v.Uint()))
	}
}
