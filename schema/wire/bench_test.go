package wire_test

import (
	"fmt"
	"testing"

	"qmp-dbus-bridge/schema/wire"
)

// properties writes an a{sv} of n strings, numbers and bools in turn.
func properties(e *wire.Encoder, n int) {
	e.OpenArray("{sv}")
	for i := range n {
		e.OpenDictEntry()
		e.String("a-property")
		switch i % 3 {
		case 0:
			e.OpenVariant("s")
			e.String("running")
		case 1:
			e.OpenVariant("x")
			e.Int64(int64(i))
		case 2:
			e.OpenVariant("b")
			e.Bool(true)
		}
		e.CloseVariant()
		e.CloseDictEntry()
	}
	e.CloseArray()
}

func BenchmarkParseMessage(b *testing.B) {
	message := encode(b, call(), nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseMessage(message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBegin(b *testing.B) {
	h := wire.Header{Type: wire.MethodReturn, Serial: 1, ReplySerial: 2, Destination: ":1.1234"}
	var e wire.Encoder
	b.ReportAllocs()
	for b.Loop() {
		e.Begin(&h)
		if _, err := e.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{1, 30, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var e wire.Encoder
			b.ReportAllocs()
			for b.Loop() {
				e.Begin(reply("a{sv}"))
				properties(&e, n)
				if _, err := e.Finish(); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(e.Len()))
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, n := range []int{0, 1, 30, 3000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m, err := wire.ParseMessage(encode(b, *reply("a{sv}"), func(e *wire.Encoder) { properties(e, n) }))
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(m.Body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := check(&m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	m, err := wire.ParseMessage(encode(b, *reply("a{sv}"), func(e *wire.Encoder) { properties(e, 3000) }))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(m.Body)))
	b.ReportAllocs()
	for b.Loop() {
		d := m.Decoder()
		d.Enter()
		for d.More() {
			d.Enter()
			_ = d.Bytes()
			d.Enter()
			switch d.Kind() {
			case 's':
				_ = d.Bytes()
			case 'x':
				d.Int64()
			case 'b':
				d.Bool()
			}
			d.Exit()
			d.Exit()
		}
		d.Exit()
		if err := d.End(); err != nil {
			b.Fatal(err)
		}
	}
}
