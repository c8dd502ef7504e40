package schema_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"qmp-dbus-bridge/schema/wire"
)

// loose writes a JSON value as a caller may: in any type that takes it. Its type is
// drawn first, since signatures go before values.
type loose struct {
	signature string
	write     func(e *wire.Encoder)
}

func drawLoose(t *rapid.T, value any) loose {
	l := drawPlain(t, value)
	if rapid.IntRange(0, 7).Draw(t, "variant") > 0 {
		return l
	}
	return loose{"v", func(e *wire.Encoder) { l.variant(e) }}
}

func (l loose) variant(e *wire.Encoder) {
	e.OpenVariant(l.signature)
	l.write(e)
	e.CloseVariant()
}

func drawPlain(t *rapid.T, value any) loose {
	switch v := value.(type) {
	case nil:
		return loose{"g", func(e *wire.Encoder) { e.Signature("") }}
	case bool:
		return loose{"b", func(e *wire.Encoder) { e.Bool(v) }}
	case string:
		return loose{"s", func(e *wire.Encoder) { e.String(v) }}
	case json.Number:
		return drawNumber(t, v)
	case []any:
		return drawList(t, v)
	default:
		return drawDict(t, v.(map[string]any))
	}
}

func drawNumber(t *rapid.T, n json.Number) loose {
	if strings.Contains(n.String(), ".") {
		return loose{"d", func(e *wire.Encoder) { f, _ := n.Float64(); e.Double(f) }}
	}
	i, _ := n.Int64()
	var fits strings.Builder
	fits.WriteString("x")
	for code, limits := range map[byte][2]float64{
		'y': {0, math.MaxUint8}, 'n': {math.MinInt16, math.MaxInt16}, 'q': {0, math.MaxUint16},
		'i': {math.MinInt32, math.MaxInt32}, 'u': {0, math.MaxUint32}, 't': {0, math.MaxInt64},
	} {
		if limits[0] <= float64(i) && float64(i) <= limits[1] {
			fits.WriteString(string(code))
		}
	}
	sorted := []byte(fits.String())
	slices.Sort(sorted)
	code := rapid.SampledFrom(sorted).Draw(t, "width")
	return loose{string(code), func(e *wire.Encoder) {
		if strings.IndexByte("nix", code) >= 0 {
			encodeSigned(e, code, i)
		} else {
			encodeUnsigned(e, code, uint64(i))
		}
	}}
}

// drawList draws an av, or an array of the elements' own type where they have one.
func drawList(t *rapid.T, list []any) loose {
	elements := make([]loose, len(list))
	same := len(list) > 0
	for i, v := range list {
		elements[i] = drawLoose(t, v)
		same = same && elements[i].signature == elements[0].signature
	}
	if same && elements[0].signature != "v" {
		of := elements[0].signature
		return loose{"a" + of, func(e *wire.Encoder) {
			e.OpenArray(of)
			for _, l := range elements {
				l.write(e)
			}
			e.CloseArray()
		}}
	}
	return loose{"av", func(e *wire.Encoder) {
		e.OpenArray("v")
		for _, l := range elements {
			l.variant(e)
		}
		e.CloseArray()
	}}
}

// drawDict draws an a{sv} with its entries in any order.
func drawDict(t *rapid.T, object map[string]any) loose {
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 1 {
		names = rapid.Permutation(names).Draw(t, "order")
	}
	values := make([]loose, len(names))
	for i, name := range names {
		values[i] = drawLoose(t, object[name])
	}
	return loose{"a{sv}", func(e *wire.Encoder) {
		e.OpenArray("{sv}")
		for i, name := range names {
			e.OpenDictEntry()
			e.String(name)
			values[i].variant(e)
			e.CloseDictEntry()
		}
		e.CloseArray()
	}}
}
