package schema_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

// typed is a D-Bus value as busctl --json writes it.
type typed struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

// encodeTyped writes data as a value of the complete type sig.
func encodeTyped(t *testing.T, e *wire.Encoder, sig string, data json.RawMessage) {
	t.Helper()
	switch sig[0] {
	case 'v':
		v := unmarshal[typed](t, data)
		e.OpenVariant(v.Type)
		encodeTyped(t, e, v.Type, v.Data)
		e.CloseVariant()
	case 'a':
		e.OpenArray(sig[1:])
		if sig[1] == '{' {
			encodeTypedDict(t, e, sig, data)
		} else {
			for _, element := range unmarshal[[]json.RawMessage](t, data) {
				encodeTyped(t, e, sig[1:], element)
			}
		}
		e.CloseArray()
	case '(':
		e.OpenStruct()
		rest := sig[1 : len(sig)-1]
		for _, field := range unmarshal[[]json.RawMessage](t, data) {
			var first string
			first, rest = wire.SplitSignature(rest)
			encodeTyped(t, e, first, field)
		}
		e.CloseStruct()
	case 's', 'o', 'g':
		encodeWord(t, e, sig[0], unmarshal[string](t, data))
	default:
		encodeWord(t, e, sig[0], strings.Trim(string(data), `"`))
	}
}

func encodeTypedDict(t *testing.T, e *wire.Encoder, sig string, data json.RawMessage) {
	t.Helper()
	if string(data) == "[]" { // so busctl writes an empty dictionary in an array
		return
	}
	entries := unmarshal[map[string]json.RawMessage](t, data)
	for key, value := range entries {
		e.OpenDictEntry()
		encodeWord(t, e, sig[2], key)
		encodeTyped(t, e, sig[3:len(sig)-1], value)
		e.CloseDictEntry()
	}
}

// encodeWord writes a basic value as busctl takes it on its command line.
func encodeWord(t testing.TB, e *wire.Encoder, code byte, word string) {
	t.Helper()
	switch code {
	case 's':
		e.String(word)
	case 'o':
		e.ObjectPath(word)
	case 'g':
		e.Signature(word)
	case 'b':
		e.Bool(word == "true")
	case 'd':
		e.Double(parse(t, word, strconv.ParseFloat))
	case 'n', 'i', 'x':
		encodeSigned(e, code, parse(t, word, parseSigned))
	default:
		encodeUnsigned(e, code, parse(t, word, parseUnsigned))
	}
}

func encodeSigned(e *wire.Encoder, code byte, i int64) {
	switch code {
	case 'n':
		e.Int16(int16(i))
	case 'i':
		e.Int32(int32(i))
	case 'x':
		e.Int64(i)
	}
}

func encodeUnsigned(e *wire.Encoder, code byte, u uint64) {
	switch code {
	case 'y':
		e.Byte(byte(u))
	case 'q':
		e.Uint16(uint16(u))
	case 'u':
		e.Uint32(uint32(u))
	case 't':
		e.Uint64(u)
	case 'h':
		e.UnixFD(uint32(u))
	}
}

func parseSigned(word string, bits int) (int64, error) { return strconv.ParseInt(word, 10, bits) }

func parseUnsigned(word string, bits int) (uint64, error) { return strconv.ParseUint(word, 10, bits) }

func parse[T any](t testing.TB, word string, as func(string, int) (T, error)) T {
	t.Helper()
	v, err := as(word, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// encodeWords writes one value of the complete type sig from the words of a
// busctl command line and returns the words after it.
func encodeWords(t testing.TB, e *wire.Encoder, sig string, words []string) []string {
	t.Helper()
	word := words[0]
	switch sig[0] {
	case 'v':
		e.OpenVariant(word)
		words = encodeWords(t, e, word, words[1:])
		e.CloseVariant()
		return words
	case 'a':
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		words = words[1:]
		e.OpenArray(sig[1:])
		for range n {
			words = encodeWords(t, e, sig[1:], words)
		}
		e.CloseArray()
		return words
	case '{':
		e.OpenDictEntry()
		words = encodeWords(t, e, sig[1:2], words)
		words = encodeWords(t, e, sig[2:len(sig)-1], words)
		e.CloseDictEntry()
		return words
	}
	encodeWord(t, e, sig[0], word)
	return words[1:]
}

// splitShell splits a command line with single quotes.
func splitShell(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

// decodeTyped reads the value at d as busctl --json would print it, in the form
// of encoding/json with numbers as json.Number.
func decodeTyped(d *wire.Decoder) any {
	switch kind := d.Kind(); kind {
	case 'v':
		d.Enter()
		v := map[string]any{"type": strings.Clone(d.Type())}
		v["data"] = decodeTyped(d)
		d.Exit()
		return v
	case 'a':
		if d.Type()[1] == '{' {
			return decodeTypedDict(d)
		}
		return decodeTypedList(d)
	case '(':
		return decodeTypedList(d)
	case 's', 'o', 'g':
		return string(d.Bytes())
	case 'b':
		return d.Bool()
	default:
		return json.Number(decodeNumber(d, kind))
	}
}

func decodeNumber(d *wire.Decoder, kind byte) string {
	switch kind {
	case 'x':
		return fmt.Sprint(d.Int64())
	case 't':
		return fmt.Sprint(d.Uint64())
	case 'd':
		return fmt.Sprint(d.Double())
	}
	d.Skip()
	return "0"
}

func decodeTypedList(d *wire.Decoder) any {
	list := []any{}
	d.Enter()
	for d.More() {
		list = append(list, decodeTyped(d))
	}
	d.Exit()
	return list
}

func decodeTypedDict(d *wire.Decoder) any {
	dict := map[string]any{}
	d.Enter()
	for d.More() {
		d.Enter()
		key := d.String()
		dict[key] = decodeTyped(d)
		d.Exit()
	}
	d.Exit()
	return dict
}

// dictKeys returns the keys of the dictionary at d in their order.
func dictKeys(d *wire.Decoder) []string {
	var keys []string
	d.Enter()
	for d.More() {
		d.Enter()
		keys = append(keys, d.String())
		d.Exit()
	}
	d.Exit()
	return keys
}

// body returns what write writes, and a decoder for it.
func body(t testing.TB, sig string, write func(*wire.Encoder)) *wire.Decoder {
	t.Helper()
	var e wire.Encoder
	e.Reset()
	write(&e)
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
	d := wire.NewDecoder(binary.LittleEndian, sig, slices.Clone(e.Bytes()), 1)
	return &d
}

func unmarshal[T any](t testing.TB, data []byte) T {
	t.Helper()
	var v T
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	return v
}
